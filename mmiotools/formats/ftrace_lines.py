"""One line of ftrace text → one event: every prefix and every register event that is known, and what is damage.

This is the exact, slow path. `ftrace_scan` does the bulk of the usual events on columns and leaves the other lines to
`parse_line`. The grammar is in formats/ftrace.md.
"""

from __future__ import annotations

import re
from operator import ne

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.trace.batch import Regions
from mmiotools.typed import Any, Callable, IntEnum, NamedTuple


class Role(IntEnum):
    """What a line is in an access that takes two lines: nothing, what comes before it, or the access done."""

    NONE = 0
    BEFORE = 1
    DONE = 2


class Line(NamedTuple):
    """The event of a line. That of a BEFORE line is the access as far as it is known then."""

    event: Event
    role: Role = Role.NONE


#: Region of addresses that are the kernel's own, and their space.
VIRTUAL = ("virt", "virt")
#: Longest width of an access in bytes that an event can say.
MAX_WIDTH = 255
#: A task's name with its padding, up to the "-" before the pid, has at most so many characters.
MAX_TASK = 48
#: Longest line that is an event; longer ones are notes.
LONGEST = 4096

_TIME = rb"(\d{1,10})\.(\d{9}|\d{6})"
_TASK = rb".{0,%d}?" % MAX_TASK
#: comm-pid (tgid) [cpu] flags time:, and perf's comm pid/tid [cpu] time:. The time may be a bare counter.
_PREFIX = re.compile(
    _TASK + rb"(?:-|[ ]+(?=\d+(?:/\d+)?[ ]+\[))(\d{1,9})(?:/(\d{1,9}))?[ ]+(?:\([^(]{1,9}\)[ ]+)?\[(\d{1,6})\][ ]+"
    rb"(?:[^ ]{4,8}[ ]+)?(?:" + _TIME + rb"|\d{1,20}):[ ]",
    re.DOTALL,
)
#: With the option latency-format: comm-pid, the CPU and the flags in one word, time since the first event (trace-cmd's
#: is the usual one).
_LATENCY = re.compile(
    _TASK + rb"-(\d{1,9})[ ]+(\d{1,6})[^\s\d]\S{3,7}[ ]+(?:(\d{1,15})us[ +!#*@$]?|" + _TIME + rb"):[ ]", re.DOTALL
)
_NAME = re.compile(rb"[ ]*(?:\(\+\d+\)[ ]+)?(?:[A-Za-z0-9_-]+:)?(\w+):(?=[ ]|$)(.*)", re.DOTALL)

_LOST = re.compile(rb"CPU:(\d{1,6}) \[(?:LOST (\d{1,18}) EVENTS|(?:(\d{1,18}) )?EVENTS DROPPED)\]$")
#: Two of these words in a short line without a good prefix: it was such a line.
_LOST_WORDS = (b"CPU:", b"LOST", b"EVENTS", b"DROPPED")
_LOST_LENGTH = 64
#: `trace` says how many events its buffer holds of those that were written.
_ENTRIES = re.compile(rb"#\s+(?:entries-in-buffer/entries-written: |latency: \d+ us, #)(\d{1,18})/(\d{1,18})(?!\d)")

_H = rb"(0[xX][0-9a-fA-F]{1,16}|0)"  # printf's %#x, which gives "0" for zero in user space
_X = rb"([0-9a-fA-F]{1,16})"
_E = rb"[ \t]*$"


def _int(text: bytes) -> int:
    return int(text, 16)


class _Context(NamedTuple):
    """What the prefix says, and where regions are entered."""

    fields: dict[str, Any]
    regions: Regions

    def access(self, kind: Kind, width: int | None, value: int | None, **more: Any) -> Event:
        return Event(kind, width=width, value=value, **self.fields, **more)

    def named(self, name: bytes, space: str, kind: Kind, offset: int, width: int | None, value: int | None) -> Event:
        """An access to a region that the line names."""
        region = name.decode("utf-8", "backslashreplace")
        self.regions.code(region, space)
        return Event(kind, width=width, value=value, region=region, offset=offset, **self.fields)


Made = Line | None
Maker = Callable[[re.Match[bytes], _Context], Made]


def _kind(word: bytes) -> Kind:
    return Kind.WRITE if word.startswith(b"w") else Kind.READ


def _rwmmio(kind: Kind, role: Role) -> Maker:
    valueless = kind == Kind.READ and role == Role.BEFORE

    def make(match: re.Match[bytes], context: _Context) -> Made:
        bits, printed = int(match[1]), match[2]
        if bits % 8 or not 0 < bits <= 8 * MAX_WIDTH or (printed is None) != valueless:
            return None
        value = None if printed is None else _int(printed)
        addr = _int(match[3])
        context.regions.code(*VIRTUAL)
        return Line(context.access(kind, bits // 8, value, addr=addr, region=VIRTUAL[0], offset=addr), role)

    return make


def _kvm_mmio(match: re.Match[bytes], context: _Context) -> Made:
    width, addr = int(match[2]), _int(match[3])
    if width > MAX_WIDTH:
        return None
    if match[1] == b"unsatisfied-read":
        return Line(context.access(Kind.READ, width, None, addr=addr), Role.BEFORE)
    role = Role.DONE if match[1] == b"read" else Role.NONE
    return Line(context.access(_kind(match[1]), width, _int(match[4]), addr=addr), role)


def _kvm_pio(match: re.Match[bytes], context: _Context) -> Made:
    if int(match[3]) > MAX_WIDTH:
        return None
    several = int(match[4]) != 1  # then the value is only the first one's
    value = None if several else _int(match[5])
    return Line(context.named(b"port", "port", _kind(match[1]), _int(match[2]), int(match[3]), value))


def _kvm_msr(match: re.Match[bytes], context: _Context) -> Made:
    return _made_msr(_kind(match[1]), match[2], match[3], match[4], context)


def _msr(kind: Kind) -> Maker:
    return lambda match, context: _made_msr(kind, match[1], match[2], match[3], context)


def _made_msr(kind: Kind, register: bytes, value: bytes, failed: bytes | None, context: _Context) -> Made:
    known = None if failed and kind == Kind.READ else _int(value)  # what a read that faulted gave is no value
    return Line(context.named(b"msr", "msr", kind, _int(register), 8, known))


def _regmap(kind: Kind) -> Maker:
    return lambda match, context: Line(context.named(match[1], "reg", kind, _int(match[2]), None, _int(match[3])))


def _regmap_bulk(kind: Kind) -> Maker:
    # How many registers the bytes are, and in what order, is not said.
    return lambda match, context: Line(context.named(match[1], "reg", kind, _int(match[2]), None, None))


def _i915(match: re.Match[bytes], context: _Context) -> Made:
    if int(match[3]) > MAX_WIDTH:
        return None
    low, high = _int(match[4]), _int(match[5])
    if max(low, high) >> 32:
        return None
    return Line(context.named(b"i915", "mem", _kind(match[1]), _int(match[2]), int(match[3]), high << 32 | low))


def _amdgpu(kind: Kind) -> Maker:
    def make(match: re.Match[bytes], context: _Context) -> Made:
        name = b"amdgpu %04x" % _int(match[1])
        return Line(context.named(name, "reg", kind, _int(match[2]), 4, _int(match[3])))

    return make


def _iwlwifi(kind: Kind, width: int, periphery: bool = False) -> Maker:
    def make(match: re.Match[bytes], context: _Context) -> Made:
        offset, value = (int(text, 16 if text.startswith(b"0x") else 10) for text in match.group(2, 3))
        if max(offset, value) >> 64:
            return None
        name, space = (match[1] + b" prph", "reg") if periphery else (match[1], "mem")
        return Line(context.named(name, space, kind, offset, width, value))

    return make


def _mt76(kind: Kind) -> Maker:
    return lambda match, context: Line(context.named(match[1], "reg", kind, _int(match[2]), 4, _int(match[3])))


def _table() -> dict[bytes, tuple[re.Pattern[bytes], Maker]]:
    table: dict[bytes, tuple[re.Pattern[bytes], Maker]] = {}

    def add(name: str, pattern: bytes, make: Maker) -> None:
        table[name.encode()] = re.compile(rb"[ ]*" + pattern + _E, re.DOTALL), make

    for word, kind in (("read", Kind.READ), ("write", Kind.WRITE)):
        fields = rb".*[ ]width=(\d{1,4})(?: val=" + _H + rb")? addr=" + _H
        table[f"rwmmio_{word}".encode()] = re.compile(fields + _E, re.DOTALL), _rwmmio(kind, Role.BEFORE)
        table[f"rwmmio_post_{word}".encode()] = re.compile(fields + _E, re.DOTALL), _rwmmio(kind, Role.DONE)
        value = rb"(.*) reg=" + _X + rb" val="
        add(f"regmap_reg_{word}", value + _X, _regmap(kind))
        add(f"regmap_bulk_{word}", value + rb"(?:[0-9a-f]{2}(?: [0-9a-f]{2})*)?", _regmap_bulk(kind))
        add(f"{word}_msr", rb"([0-9a-f]{1,8}), value " + _X + rb"( #GP)?", _msr(kind))
        number = rb"(0x[0-9a-f]{1,16}|\d{1,20})"  # those of 64 bits are decimal
        place = rb"\[(.*)\] %s (?:io|PRPH)\[" % word.encode() + number + rb"\] = " + number + rb"\)?"
        for bits in (8, 32, 64):
            add(f"iwlwifi_dev_io{word}{bits}", place, _iwlwifi(kind, bits // 8))
            add(f"iwlwifi_dev_io{word}_prph{bits}", place, _iwlwifi(kind, bits // 8, periphery=True))
        letter = word[0]
        device = rb"0x([0-9a-f]{1,8}), 0x" + _X + rb", 0x" + _X
        add(f"amdgpu_device_{letter}reg", device, _amdgpu(kind))
        add(f"amdgpu_mm_{letter}reg", device, _amdgpu(kind))
        add(f"reg_{letter}r", rb"(.*) " + _X + rb"=" + _X, _mt76(kind))
    place = rb"len (\d{1,5}) gpa " + _H + rb" val " + _H
    add("kvm_mmio", rb"mmio (unsatisfied-read|read|write) " + place, _kvm_mmio)
    count = rb" size (\d{1,5}) count (\d{1,9}) val " + _H + rb"(?: \(\.\.\.\))?"
    add("kvm_pio", rb"pio_(read|write) at " + _H + count, _kvm_pio)
    add("kvm_msr", rb"msr_(read|write) " + _X + rb" = " + _H + rb"( \(#GP\))?", _kvm_msr)
    add("i915_reg_rw", rb"(read|write) reg=" + _H + rb", len=(\d{1,5}), val=\(" + _H + rb", " + _H + rb"\)", _i915)
    return table


EVENTS = _table()
#: What text that was written into trace_marker comes under.
_MARKS = (b"tracing_mark_write", b"print")
#: The first eight characters of every name that is looked at; five of "print", whose blanks vary.
BEGINNINGS = frozenset((name + b": ")[:8] for name in (*EVENTS, _MARKS[0]))
_MARKED = re.compile(rb"[ ]*tracing_mark_write:(.*)", re.DOTALL)

_KNOWN = b"|".join(re.escape(name) for name in EVENTS if not name.startswith(b"reg_"))
#: The name of a register event; how it ends; what only a register event ends with.
_NAMED = re.compile(rb"(?:" + _KNOWN + rb"):[ ]")
_TELLING = re.compile(
    rb" width=\d+ (?:val=(?:0x[0-9a-f]{1,16}|0) )?addr=(?:0x[0-9a-f]{1,16}|0)$"
    rb"| len \d+ gpa 0x[0-9a-f]{1,16} val 0x[0-9a-f]{1,16}$|: reg_[rw]r: \S+ [0-9a-f]{4,8}=[0-9a-f]{8}$"
)
#: A whole prefix, anywhere; behind another one it is a second line that ran into the first.
PREFIX_ANYWHERE = re.compile(
    rb"-\d{1,9} +(?:\([ \d-]{1,9}\) +)?\[\d{1,6}\] +(?:[^\s\[\]]{4,8} +)?\d{1,10}\.\d{6}(?:\d{3})?: +(?=\S)"
)


def parse_line(line: bytes, number: int, regions: Regions, *, ended: bool = True) -> Line:
    """The event of one line, given without its line end, and its role. Never raises.

    `number` is the line's, from 1. An event that is not a note has its line in `raw`. A last line without line end
    is an event only where nothing of it can be missing.
    """
    if line[:1] == b"#" or len(line) > LONGEST:
        return Line(_comment(line, number))
    if line.startswith(b"CPU:"):
        lost = _LOST.match(line)
        if lost is not None:
            return Line(_lost(lost, line))
    prefix, fields = _prefix(line)
    named = None if prefix is None else _NAME.match(line, prefix.end())
    found = None if named is None else _event(named, _Context(fields, regions))
    if not ended:
        return Line(_cut(line, number, named, found))
    if found is not None:
        return found._replace(event=found.event._replace(extra={**found.event.extra, "raw": line}))
    return Line(_unreadable(line, number, named, len(line) if prefix is None else prefix.end()))


def _prefix(line: bytes) -> tuple[re.Match[bytes] | None, dict[str, Any]]:
    match = _PREFIX.match(line)
    if match is not None:
        time = None if match[4] is None else _nanoseconds(match[4], match[5])
        return match, {"time": time, "pid": int(match[2] or match[1]), "cpu": int(match[3])}
    match = _LATENCY.match(line)
    if match is not None:
        time = int(match[3]) * 1000 if match[3] is not None else _nanoseconds(match[4], match[5])
        return match, {"time": time, "pid": int(match[1]), "cpu": int(match[2])}
    return None, {}


def _nanoseconds(seconds: bytes, fraction: bytes) -> int:
    return int(seconds) * 10**9 + int(fraction.ljust(9, b"0"))


def _event(named: re.Match[bytes], context: _Context) -> Made:
    name, text = named[1], named[2]
    glued = PREFIX_ANYWHERE.search(text) is not None
    if name in _MARKS:
        if glued and _NAMED.search(text):
            return None
        if name == b"print":
            marked = _MARKED.match(text)
            if marked is None:
                return None
            text = marked[1]
        return Line(Event(Kind.MARK, **context.fields, extra={"text": text.removeprefix(b" ")}))
    entry = EVENTS.get(name)
    if entry is None or glued:
        return None
    match = entry[0].match(text)
    return None if match is None else entry[1](match, context)


def _comment(line: bytes, number: int) -> Event:
    entries = _ENTRIES.match(line) if line[:1] == b"#" else None
    if entries is not None and int(entries[2]) > int(entries[1]):
        return Event(Kind.LOST, extra={"count": int(entries[2]) - int(entries[1]), "raw": line})
    if _was_a_loss(line):
        return damaged("a count of lost events that is damaged", text=line, line=number)
    told = len(_NAMED.findall(line))
    if told and PREFIX_ANYWHERE.search(line):
        return damaged("a register event whose beginning is damaged", text=line, line=number, events=told)
    return Event(Kind.NOTE, extra={"text": line})


def _lost(match: re.Match[bytes], line: bytes) -> Event:
    count = match[2] or match[3]
    event = Event(Kind.LOST, cpu=int(match[1]), extra={} if count is None else {"count": int(count)})
    return event if render_lost(event) == line else event._replace(extra={**event.extra, "raw": line})


def render_lost(event: Event) -> bytes | None:
    """`CPU:n [LOST N EVENTS]`, or what says it without the number; None without a CPU."""
    count = event.extra.get("count")
    if event.cpu is None:
        return None
    said = "EVENTS DROPPED" if count is None else f"LOST {count} EVENTS"
    return f"CPU:{event.cpu} [{said}]".encode()


def _cut(line: bytes, number: int, named: re.Match[bytes] | None, found: Made) -> Event:
    """A last line without line end: damage, unless it is an event of another kind, or has no ink."""
    if not line.strip() or (named is not None and found is None and named[1] not in EVENTS):
        return Event(Kind.NOTE, extra={"text": line})
    return damaged("the last line is cut off", text=line, line=number)


def _unreadable(line: bytes, number: int, named: re.Match[bytes] | None, start: int) -> Event:
    """A line that is no register event: a plain note, or damage with the number of events that it once was.

    start   where its name begins
    """
    told = len(_NAMED.findall(line))
    if _nearly_an_event(line[start:]):
        return damaged("a register event whose name is damaged", text=line, line=number, events=told + 1)
    if named is None:
        if _was_a_loss(line):
            return damaged("a count of lost events that is damaged", text=line, line=number)
        if told or _TELLING.search(line):
            return damaged("a register event whose beginning is damaged", text=line, line=number, events=max(told, 1))
    elif named[1] in EVENTS and not named[1].startswith(b"reg_"):  # such a short name others have too
        if PREFIX_ANYWHERE.search(line, named.end(1)):
            return damaged("two lines run into each other", text=line, line=number, events=max(told, 1))
        return damaged(f"malformed {named[1].decode()} event", text=line, line=number)
    elif _TELLING.search(line):
        return damaged("a register event whose name is damaged", text=line, line=number, events=max(told, 1))
    elif told and PREFIX_ANYWHERE.search(line, named.end(1)):
        return damaged("two lines run into each other", text=line, line=number, events=told)
    return Event(Kind.NOTE, extra={"text": line})


def _was_a_loss(line: bytes) -> bool:
    return len(line) <= _LOST_LENGTH and sum(word in line for word in _LOST_WORDS) > 1


def _nearly_an_event(text: bytes) -> bool:
    """Whether it would be a register event with one other character in its name, or behind it."""
    for name, (pattern, _) in EVENTS.items():
        if text[:3] == name[:3] or text[3:6] == name[3:6]:
            head, rest = text[: len(name) + 2], text[len(name) + 2 :]
            if sum(map(ne, head, name + b": ")) == 1 and pattern.match(rest):
                return True
    return False
