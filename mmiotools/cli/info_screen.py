"""What `mmiotools info` does. Needs neither click nor, where a trace can be counted as it is, numpy."""

from __future__ import annotations

import sys

from mmiotools.cli.common import Run, load_regs
from mmiotools.errors import MmioToolsError
from mmiotools.stats.registers import Register
from mmiotools.stats.summary import (
    HOTTEST,
    LOOKED_AT,
    NAMED_AT_MOST,
    SCHEMA,
    Summary,
    bulk_summary,
    counted_summary,
    register_json,
)
from mmiotools.trace.address_space import register_name
from mmiotools.trace.header import Trace
from mmiotools.trace.in_c import json_text
from mmiotools.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmiotools.trace.names import Names

#: Devices and maps that one screen shows.
_SHOWN = 6
#: Registers without a name that one screen shows.
_UNNAMED = 8


def summarise(
    traces: tuple[str, ...],
    *,
    as_json: bool = False,
    regs: tuple[str, ...] = (),
    from_format: str | None = None,
    quiet: bool = False,
) -> int:
    """Prints what each trace holds; the exit status. See `cli/info.py` for the options."""
    run = Run(quiet)
    names = load_regs(run, regs)
    shown = 0
    for path in traces or ("-",):
        try:
            trace = run.open_input(path, from_format, columns=LOOKED_AT)
            summary = summary_of(trace)
        except MmioToolsError as error:
            if len(traces) < 2:
                raise
            print(f"mmiotools: {error}", file=sys.stderr)
            run.set_status(error.status)
            continue
        if as_json:
            told = summary.as_json()
            if names is not None:
                _name_json(told["registers"], summary, names)
            print(json_text({"schema": SCHEMA, **_header_json(trace), **told}))
        else:
            print(("\n" if shown else "") + "\n".join(_screen(trace, summary, names)))
        shown += 1
    return run.status


def summary_of(trace: Trace) -> Summary:
    """Reads a trace to its end."""
    summary = Summary()
    if trace.counting is not None:
        for counted in trace.counting(counted_summary):
            summary.merge(counted.result)
            summary.add_rare(counted.rare)
        return summary
    for part in trace.map(bulk_summary):
        summary.merge(part.result)
        summary.add_rare(part.rare.events())
    return summary


def _header_json(trace: Trace) -> dict[str, object]:
    return {
        "file": trace.name,
        "format": trace.container,
        "recorded_as": trace.header.format,
        "clock": trace.header.clock,
        "time_digits": trace.header.time_digits,
        "bytes": trace.size,
    }


def _screen(trace: Trace, summary: Summary, names: Names | None) -> list[str]:
    origin = "" if trace.header.format in ("", trace.container) else f", recorded as {trace.header.format}"
    lines = [
        f"file        {trace.name}",
        f"format      {trace.container}{origin}",
        f"clock       {trace.header.clock}, {trace.header.time_digits} digits of a second",
    ]
    if summary.lowest is not None and summary.highest is not None:
        span = seconds(summary.highest - summary.lowest)
        lines.append(f"time        {seconds(summary.lowest)} to {seconds(summary.highest)} s, a span of {span} s")
    counts = [f"{kind} {count}" for kind, count in summary.named_kinds().items()]
    lines += _wrapped(f"events      {summary.events}:", counts)
    for name, widths in summary.widths().items():
        each = ", ".join(f"{width} x {count}" for width, count in widths.items())
        lines.append(f"widths      {name}: {each}")
    lines += _devices(summary) + _maps(summary)
    lines.append(f"lost        {_lost(summary)}")
    lines.append(f"damaged     {_damaged(summary)}")
    hottest = summary.hottest(HOTTEST)
    if hottest:
        lines.append(f"registers   {summary.registers()}, the most used:")
        lines += _table(hottest, summary, names)
    if names is not None:
        lines += _unnamed(summary, names)
    if summary.registers_forgotten:
        count = summary.registers_forgotten
        lines.append(f"            too many registers: {count} accesses are in no register's count")
    return lines


def _wrapped(head: str, words: list[str]) -> list[str]:
    lines, line = [], head
    for at, word in enumerate(words):
        word += "," if at + 1 < len(words) else ""
        if len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = " " * 11
        line += " " + word
    return [*lines, line]


def _devices(summary: Summary) -> list[str]:
    devices = summary.devices
    touched = {live.phys for live in summary.maps}
    # Devices whose BARs were mapped come first: on one screen they are what the trace is about.
    devices.sort(key=lambda d: not any(b.addr <= p < b.addr + b.size for b in d.bars for p in touched))
    lines = []
    for device in devices[:_SHOWN]:
        bars = ", ".join(f"{bar.name} {bar.addr:#x}+{bar.size:#x}" for bar in device.bars if bar.size)
        lines.append(f"device      {device.address} {device.ids} {device.driver or '(no driver)'} {bars}".rstrip())
    if len(devices) > _SHOWN:
        lines.append(f"            and {len(devices) - _SHOWN} more devices")
    return lines


def _maps(summary: Summary) -> list[str]:
    if not summary.map_count:
        return ["maps        none"]
    lines = [f"maps        {summary.map_count}, left alive {summary.alive}"]
    busiest = sorted(summary.maps, key=lambda live: -summary.map_accesses[live.id])
    for live in busiest[:_SHOWN]:
        length = "?" if live.length is None else f"{live.length:#x}"
        lines.append(f"            map {live.id}: {live.phys:#x}+{length}, accesses {summary.map_accesses[live.id]}")
    if summary.map_count > _SHOWN:
        lines.append(f"            and {summary.map_count - _SHOWN} more maps")
    return lines


def _lost(summary: Summary) -> str:
    if not summary.lost_records:
        return "nothing that the recorder knew of"
    unknown = f", and {summary.lost_unknown} records that give no number" if summary.lost_unknown else ""
    return f"{summary.lost} events in {summary.lost_records} records{unknown}"


def _damaged(summary: Summary) -> str:
    if not summary.damaged:
        return "nothing"
    return f"{summary.damaged} place{'s' * (summary.damaged != 1)}, events lost: {summary.damaged_events}"


def _name(register: Register, summary: Summary, names: Names | None) -> str:
    found = summary.found(register, names) if names is not None else None
    if found is None:
        return register_name(register.region, register.offset)
    return found.text if register.region is None else f"{register.region}/{found.text}"


def _name_json(told: dict[str, Any], summary: Summary, names: Names) -> None:
    """Puts the names beside the most used registers, and those without a name behind them."""
    for entry, register in zip(told["hottest"], summary.hottest(HOTTEST), strict=True):
        found = summary.found(register, names)
        entry["register"] = None if found is None else found.text
    left = summary.unnamed(names)
    told["unnamed"] = {
        "distinct": len(left),
        "accesses": sum(register.accesses for register in left),
        "complete": summary.registers() <= NAMED_AT_MOST,
        "list": [register_json(register) for register in left],
    }


def _unnamed(summary: Summary, names: Names) -> list[str]:
    left = summary.unnamed(names)
    of_most = f" of the {NAMED_AT_MOST} most used" if summary.registers() > NAMED_AT_MOST else ""
    if not left:
        return [f"unnamed     none{of_most}"]
    accesses = sum(register.accesses for register in left)
    places = [f"{register_name(r.region, r.offset)} ({r.accesses})" for r in left[:_UNNAMED]]
    more = [f"and {len(left) - _UNNAMED} more"] if len(left) > _UNNAMED else []
    return _wrapped(f"unnamed     {len(left)}{of_most}, accesses {accesses}:", places + more)


def _table(hottest: list[Register], summary: Summary, regs: Names | None) -> list[str]:
    names = [_name(register, summary, regs) for register in hottest]
    wide = max(map(len, names))
    lines = [f"            {'register':<{wide}}  {'reads':>9} {'writes':>9} {'unknown':>9}"]
    for name, register in zip(names, hottest, strict=True):
        lines.append(f"            {name:<{wide}}  {register.reads:>9} {register.writes:>9} {register.unknown:>9}")
    return lines


def seconds(nanoseconds: int) -> str:
    """Nanoseconds as decimal seconds, microseconds at least."""
    sign = "-" if nanoseconds < 0 else ""
    whole, rest = divmod(abs(nanoseconds), 1_000_000_000)
    digits = f"{rest:09d}"
    return f"{sign}{whole}.{digits[:6] if digits.endswith('000') else digits}"
