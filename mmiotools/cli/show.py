"""`mmiotools show`"""

from __future__ import annotations

import sys
from collections import OrderedDict

import click

from mmiotools.cli.common import Run, load_regs, want_color
from mmiotools.cli.info_screen import seconds
from mmiotools.cli.options import color_option, from_option, quiet_option, regs_option
from mmiotools.events import Event, Kind
from mmiotools.trace.accesses import OP_LETTERS
from mmiotools.trace.address_space import register_name
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import PciDevice
from mmiotools.trace.names import Found, Names
from mmiotools.typed import Any, Iterator, Mapping

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("A recording, decoded:", "mmiotools show samples/mmiotrace/nvme-linux6.1.mmiotrace | head"),
    (
        "With the names of its registers and their fields:",
        "mmiotools show --regs nvme samples/mmiotrace/nvme-linux6.1.mmiotrace | grep /CC",
    ),
    (
        "Only the writes, with the time that passed between them:",
        "mmiotools filter write samples/mmiotrace/nvme-linux6.1.mmiotrace | mmiotools show --time delta | tail -n 5",
    ),
]

#: Registers whose last value is remembered; the ones met first are forgotten first.
_REMEMBERED = 1 << 20
_COLORS = {Kind.WRITE: "yellow", Kind.MARK: "cyan", Kind.LOST: "red"}


@click.command()
@click.argument("trace", required=False, type=click.Path(), metavar="[TRACE]")
@click.option(
    "--time",
    "clock",
    type=click.Choice(["relative", "delta", "absolute"]),
    default="relative",
    show_default=True,
    help="Seconds since the first event, since the event before, or as recorded.",
)
@regs_option
@color_option
@from_option
@quiet_option
def command(
    trace: str | None, clock: str, regs: tuple[str, ...], color: str, from_format: str | None, quiet: bool
) -> int:
    """Print a trace decoded for people.

    A line an event: time in seconds, operation and width, register, value. Where the register was seen before with
    another value of that width, old -> new and the bits that rose (+) and fell (-); with --regs, the fields that
    changed, and at first sight those that are set. TRACE is a file, or standard input when it is missing or "-". The
    text is for eyes; programs read `convert -t jsonl`.
    """
    run = Run(quiet)
    names = load_regs(run, regs)
    opened = run.open_input(trace, from_format)
    printer = _Printer(clock, want_color(color), names)
    for batch in opened.batches:
        sys.stdout.write("".join(printer.lines(batch)))
    return run.status


class _Printer:
    """What a line depends on: the clock, the address map and the last value of every register."""

    def __init__(self, clock: str, color: bool, names: Names | None) -> None:
        self._names = names
        self._clock = clock
        self._color = color
        self._zero: int | None = None
        self._addresses = AddressMap()
        self._values: OrderedDict[tuple[int, int, int | None], int] = OrderedDict()

    def lines(self, batch: Batch) -> Iterator[str]:
        """A line for every event."""
        resolved = self._addresses.resolve(batch)
        regions, offsets = resolved.region.tolist(), resolved.offset.tolist()
        for row, event in enumerate(batch.events()):
            stamp = self._stamp(event)
            if event.kind in OP_LETTERS:
                body = self._access(event, regions[row], offsets[row])
            else:
                body = _rare(event)
            line = f"{stamp:>15}  {body}".rstrip()
            yield (self._colored(event, line) if self._color else line) + "\n"

    def _colored(self, event: Event, line: str) -> str:
        color = "red" if event.damaged else _COLORS.get(event.kind)
        return click.style(line, fg=color) if color else line

    def _stamp(self, event: Event) -> str:
        if event.time is None or event.kind == Kind.LOST:
            return ""
        if self._clock == "absolute":
            return seconds(event.time)
        since = event.time - (event.time if self._zero is None else self._zero)
        if self._zero is None or self._clock == "delta":
            self._zero = event.time
        return f"{'' if since < 0 else '+'}{seconds(since)}"

    def _access(self, event: Event, region: int, offset: int) -> str:
        op = OP_LETTERS[event.kind] + ("" if event.width is None else str(event.width))
        known = event.addr is not None or event.offset is not None
        place = self._addresses.regions[region] if region >= 0 else None
        name = place.name if place is not None else None
        where = register_name(name, offset) if known else name or "?"
        found = self._names.find(place, offset) if self._names is not None and known else None
        if found is not None:
            where = found.text if name is None else f"{name}/{found.text}"
        if event.value is None:
            opcode = event.extra.get("opcode")
            return f"{op:<4} {printable(where):<26} ?" + (f"  opcode {opcode.hex(' ')}" if opcode else "")
        register = (region, offset, event.width)
        before = self._values.get(register) if known else None
        if known:
            self._values[register] = event.value
            if len(self._values) > _REMEMBERED:
                self._values.popitem(last=False)
        value = f"{event.value:#x}"
        if before is not None and before != event.value:
            changes = changed_bits(before, event.value) if found is None else _changed(found, before, event)
            value = f"{before:#x} -> {value}  {changes}"
        elif found is not None and before is None:
            fields = Names.describe(found.register, event.value, found.distance, event.width)
            value += f"  {fields}" if fields else ""
        return f"{op:<4} {printable(where):<26} {value}"


def _changed(found: Found, before: int, event: Event) -> str:
    """The fields that changed, and the bits that are in no field: "RST 1 -> 0, +31"."""
    assert event.value is not None
    changes = Names.changed_fields(found.register, before, event.value, found.distance, event.width)
    told = [f"{change.name} {change.old} -> {change.new}" for change in changes]
    named = {change.name for change in changes}
    covered = sum({item.mask for item in found.register.fields if item.name in named}) >> 8 * found.distance
    rest = changed_bits(before & ~covered, event.value & ~covered)
    return ", ".join([*told, rest] if rest else told)


def changed_bits(old: int, new: int) -> str:
    """The bits that rose and fell, highest first: "+31 -7..4"."""
    words = [(high, f"+{_span(high, low)}") for high, low in _spans(new & ~old)]
    words += [(high, f"-{_span(high, low)}") for high, low in _spans(old & ~new)]
    return " ".join(word for _, word in sorted(words, reverse=True))


def _span(high: int, low: int) -> str:
    return str(high) if high == low else f"{high}..{low}"


def _spans(bits: int) -> Iterator[tuple[int, int]]:
    """Runs of one-bits as (highest, lowest), from the top."""
    while bits:
        high = bits.bit_length() - 1
        # The run ends above the highest zero below it.
        zeros = ~bits & ((1 << high) - 1)
        low = zeros.bit_length()
        yield high, low
        bits &= (1 << low) - 1


def _rare(event: Event) -> str:
    extra = event.extra
    if event.kind == Kind.MAP:
        size = "" if extra.get("length") is None else f"+{extra['length']:#x}"
        where = "?" if event.addr is None else f"{event.addr:#x}"
        virt = "" if extra.get("virt") is None else f" at {extra['virt']:#x}"
        return f"MAP  map{event.map} = {where}{size}{virt}"
    if event.kind == Kind.UNMAP:
        return f"UNMAP map{event.map}"
    if event.kind == Kind.LOST:
        count = extra.get("count")
        cpu = "" if event.cpu is None else f" on CPU {event.cpu}"
        return f"LOST {'an unknown number of' if count is None else count} events{cpu}"
    if event.kind == Kind.DEVICE:
        return _device(PciDevice.from_extra(extra))
    if event.kind == Kind.HEADER:
        return f"HEADER {printable(extra.get('format', ''))} {printable(extra.get('version', ''))}"
    if event.kind == Kind.IRQ:
        return f"IRQ  {_interrupt(extra)}".rstrip()
    if event.damaged:
        return _damaged(extra)
    return f"{event.kind.name} {printable(extra.get('text', b''))}"


def _interrupt(extra: Mapping[str, Any]) -> str:
    """What is known of an interrupt: "vector 11 level 1 (ioapic_set_irq)"."""
    known = [f"{name} {printable(extra[name])}" for name in ("vector", "level", "pin") if name in extra]
    return " ".join([*known, f"({printable(extra['source'])})"] if "source" in extra else known)


def _damaged(extra: Mapping[str, Any]) -> str:
    line = f" (line {extra['line']})" if "line" in extra else ""
    text = f": {printable(extra['text'])}" if extra.get("text") else ""
    return f"DAMAGED {printable(extra.get('reason', ''))}{line}{text}"


def _device(device: PciDevice) -> str:
    bars = " ".join(f"{bar.name}={bar.addr:#x}+{bar.size:#x}" for bar in device.bars if bar.size)
    return f"DEVICE {device.address} {device.ids} {printable(device.driver)} {bars}".rstrip()


def printable(text: object) -> str:
    """Text from a trace that is safe on a terminal: what is no printable character is escaped."""
    shown = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
