"""Peaks at a length, and at ten times that length."""

from __future__ import annotations

from make_trace import RANGES
from measure import floor, memory, table
from workbench import Workbench

SELECTED = f"addr in {RANGES[-1].start:#x}-{RANGES[-1].last:#x}"


def measure(bench: Workbench) -> None:
    """One table."""
    lengths = (bench.events // 10, bench.events)
    logs = [bench.long_log(events) for events in lengths]
    natives = [bench.converted(log) for log in logs]
    heads = (f"{events:,}: largest process, all together" for events in lengths)
    table("peak memory, MB", "engine", *heads, "growth of the largest")
    cases = (
        ("`info` of text", ("info",), logs),
        ("`info` of .mmio", ("info",), natives),
        ("text to .mmio", ("convert", "-t", "native"), logs),
        (".mmio to text", ("convert", "-t", "mmiotrace"), natives),
        ("`filter` of text", ("filter", "-t", "mmiotrace", SELECTED), logs),
        ("`filter` of .mmio", ("filter", "-t", "mmiotrace", SELECTED), natives),
    )
    for name, words, sources in cases:
        for short, long in zip(*(bench.ours(*words, source, output="memory") for source in sources), strict=True):
            found = [memory(command) for command in (short, long)]
            cells = " | ".join(f"{cost.rss / 1e6:.0f}, {together / 1e6:.0f}" for cost, together in found)
            growth = (found[1][0].rss - found[0][0].rss) / 1e6
            print(f"| {name} | {short.engine} | {cells} | {growth:+.1f} |", flush=True)
    print(f"\nNo process can be measured to be smaller than {floor() / 1e6:.0f} MB, what the benchmark itself takes.")
