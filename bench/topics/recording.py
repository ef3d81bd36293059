"""What the fault engine costs a driver."""

from __future__ import annotations

from busy_driver import ACCESSES
from measure import Command, interleaved, table, times_as_fast
from workbench import ROOT, Workbench


def measure(bench: Workbench) -> None:
    """One table."""
    driver, made = str(ROOT / "bench" / "busy_driver.py"), str(bench.folder / "busy.mmio")
    record = [*bench.tool, "record", "-q", driver, "-o", made]
    both = Command("", record), Command("", [*record, "--engine", "off"])
    traced, untraced = interleaved(both, bench.rounds)
    middle, least, most = times_as_fast(traced, untraced)
    table("`record` of a driver that only accesses registers", "accesses a second", "RSS MB")
    for name, costs in (("traced", traced), ("`--engine off`", untraced)):
        print(f"| {name} | {ACCESSES / costs.wall:,.0f} | {costs.rss / 1e6:.0f} |")
    print(f"| traced, times as fast as not | **{middle:.3g}** ({least:.3g} to {most:.3g}) | |", flush=True)
