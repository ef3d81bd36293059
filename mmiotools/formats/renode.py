"""Renode's log with LogPeripheralAccess: accesses by peripheral and offset. The grammar is in formats/renode.md."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.line_format import LineFormat
from mmiotools.formats.line_shapes import Hole, Numbers, Shape
from mmiotools.trace.batch import Regions
from mmiotools.typed import Any, ClassVar, NDArray

_WIDTHS = {b"Byte": 1, b"UInt16": 2, b"UInt32": 4, b"UInt64": 8}
_TYPES = {width: name.decode() for name, width in _WIDTHS.items()}
_TYPE = rb"(Byte|UInt16|UInt32|UInt64)"
_DECISECOND = 100_000
_TIME = rb"(\d{2}):([0-5]\d):([0-5]\d)\.(\d{4})"
_BEGIN = re.compile(_TIME + rb" \[[A-Z]+\] ")
_ACCESS = re.compile(
    rb"(?:" + _TIME + rb" ++\[([A-Z]+)\] ++)?+([^:\n]++): (?:\[([^:\]\n]++): 0x([0-9a-fA-F]{1,16})\] )?"
    + rb"(Read|Write)" + _TYPE + rb" (from|to) 0x([0-9a-fA-F]{1,16})"
    + rb"(?: \((.*)\))?, (returned|value) 0x([0-9a-fA-F]{1,16})(\.?)$"
)
_SEEMS = re.compile(rb"(?:\] |: )(?:Read" + _TYPE + rb" from|Write" + _TYPE + rb" to) 0x")
#: An access by a CPU, at level INFO.
_INFO = (
    rb"(?P<hours>[01]\d|2[0-3]):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)\.(?P<rest>\d{4}) \[INFO\] [!-9;-~]+: "
    rb"\[[ -9;-Z^-~]+: 0x(?P<pc>%(n)s)\] (?P<read>Read)?(?(read)|Write)(?:Byte|UInt16|UInt32|UInt64) (?(read)from|to) "
    rb"0x(?P<offset>%(n)s) \([ -(*-~]*\), (?(read)returned|value) 0x(?P<value>%(n)s)"
    % {b"n": rb"(?:0|[1-9A-F][0-9A-F]{0,15})"}
)
_CLOCK = ("hours", "minutes", "seconds", "rest")
_HOLES = {
    **dict.fromkeys(_CLOCK, Hole(4, 10)),
    **dict.fromkeys(("pc", "offset", "value"), Hole(1, upper=True)),
}


def _of_day(numbers: dict[str, Numbers]) -> NDArray[np.bool_]:
    """Nanoseconds since midnight of hours, minutes, seconds and ten thousandths of them."""
    hours, minutes, seconds, rest = (numbers.pop(name).value.astype(np.int64) for name in _CLOCK)
    time = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + rest * _DECISECOND
    whole = np.ones(len(time), np.bool_)
    numbers["time"] = Numbers(whole, time.view(np.uint64), hours)
    return np.asarray((hours < 24) & (minutes < 60) & (seconds < 60), np.bool_)


class Renode(LineFormat):
    """The plug-in object."""

    name: ClassVar[str] = "renode"
    title: ClassVar[str] = "Log of Renode with LogPeripheralAccess."
    suffixes: ClassVar[tuple[str, ...]] = (".renode.log",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("map", "addr", "pid", "cpu", "opcode"),
        *("UNKNOWN", "MAP", "UNMAP", "MARK", "LOST", "IRQ", "DEVICE", "HEADER"),
    }
    clock: ClassVar[str] = "wall"
    digits: ClassVar[int] = 4
    latest: ClassVar[int] = 24 * 3600 * 1_000_000_000
    begins: ClassVar[re.Pattern[bytes] | None] = re.compile(rb"\d{1,2}(?::|$)")
    records: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"^(?:" + _TIME + rb" ++\[[A-Z]+\] ++)?+[^:\n]++: (?:\[[^:\]\n]++: 0x[0-9a-fA-F]++\] )?"
        rb"(?:Read" + _TYPE + rb" from|Write" + _TYPE + rb" to) 0x",
        re.MULTILINE,
    )
    shape = Shape(_INFO, _HOLES, _of_day)

    def sniff(self, head: bytes) -> Sniff:
        """As for every log; a head without an access may still be the beginning of a Renode log."""
        found = super().sniff(head)
        if found == Sniff.LIKELY and _BEGIN.match(head):
            return Sniff.YES
        return Sniff.MAYBE if found == Sniff.NO and _BEGIN.match(head) else found

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """An access; all else that Renode logs is a note."""
        match = _ACCESS.match(line)
        if match is None:
            return "malformed access" if _SEEMS.search(line) else None
        *clock, level, name, cpu, pc, op, kind, word, offset, register, said, value, _ = match.groups()
        read = op == b"Read"
        if (word == b"from") != read or (said == b"returned") != read:
            return "malformed access"
        time = None
        if level is not None:
            hours, minutes, seconds, rest = map(int, clock)
            time = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + rest * _DECISECOND
        return Event(
            Kind.READ if read else Kind.WRITE,
            time,
            _WIDTHS[kind],
            region=_text(name),
            offset=int(offset, 16),
            value=int(value, 16),
            pc=None if pc is None else int(pc, 16),
            extra=_said(cpu, register),
        )

    def render(self, event: Event) -> bytes | None:
        """As Renode logs it at level INFO; without time where there is none, without CPU where there is none."""
        if event.kind > Kind.WRITE or event.width not in _TYPES:
            return None
        name, offset, value = event.region, event.offset, event.value
        if name is None or offset is None or value is None or value >> 64 or not name or ":" in name:
            return None
        read = event.kind == Kind.READ
        stamp = ""
        if event.time is not None and event.time >= 0:
            seconds, rest = divmod(event.time, 1_000_000_000)
            stamp = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest // _DECISECOND:04d}"
            stamp += " [INFO] "
        cpu = "" if event.pc is None else f"[{event.extra.get('cpu_name', 'cpu')}: 0x{event.pc:X}] "
        register = event.extra.get("register")
        named = "" if register is None else f" ({register})"
        where = f"{_TYPES[event.width]} {'from' if read else 'to'} 0x{offset:X}{named}"
        what = f"{'Read' if read else 'Write'}{where}, {'returned' if read else 'value'} 0x{value:X}"
        return f"{stamp}{name}: {cpu}{what}".encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _said(cpu: bytes | None, register: bytes | None) -> Any:
    """What a line says beside numbers; the name of a register that Renode does not know is `unknown`."""
    extra = {}
    if cpu is not None:
        extra["cpu_name"] = _text(cpu)
    if register is not None:
        extra["register"] = _text(register)
    return extra or NOTHING


FORMAT = Renode()
