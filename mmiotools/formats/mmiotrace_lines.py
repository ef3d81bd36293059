"""One line of mmiotrace text → one event: every record kind and spelling, and what counts as damage.

This is the exact, slow path. `mmiotrace_scan` does the bulk of plain R, W and UNKNOWN lines on columns and leaves
every line that is in any way unusual to `parse_line`. `mmiotrace_render` is the other direction.
"""

from __future__ import annotations

import re

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.formats.extras import extra_fits
from mmiotools.formats.mmiotrace_render import DAMAGED, META, VERSION, render
from mmiotools.small import cache
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.typed import TYPE_CHECKING, Callable, Sequence

if TYPE_CHECKING:
    from mmap import mmap

#: Seconds up to what 64 bits of nanoseconds hold.
_TIME = rb"(\d{1,9}|[0-8]\d{9}|9[01]\d{8})\.(\d{1,9})"
_HEX = rb"0[xX]([0-9a-fA-F]{1,16})"
_INT = rb"(-?\d{1,18})"
#: Numbers up to 255.
_WIDTH = rb"(\d{1,2}|[01]\d{2}|2[0-4]\d|25[0-5])"
_S = rb"[ \t]+"
_END = rb"[ \t]*$"


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """Compiled when it is first looked for: a small trace needs few of them, and they take a while."""
    return re.compile(pattern)


def _record(*parts: bytes) -> bytes:
    return rb"[ \t]*" + _S.join(parts) + _END


_ACCESS = _record(rb"([RW])", _WIDTH, _TIME, _INT, _HEX, _HEX, _HEX, _INT)
_UNKNOWN = _record(
    rb"UNKNOWN", _TIME, _INT, _HEX, rb"([0-9a-fA-F]{2}(?:,[0-9a-fA-F]{2}){0,6})", _HEX, _INT
)
_MAP = _record(rb"MAP", _TIME, _INT, _HEX, _HEX, _HEX, _HEX, _INT)
_UNMAP = _record(rb"UNMAP", _TIME, _INT, _HEX, _INT)
_MARK = rb"(?s)[ \t]*MARK[ \t]+" + _TIME + rb"(?: (.*))?$"
_MARK_LOST = rb"(?s)Lost (\d{1,18}) events\.(.*)"
_CPU_LOST = rb"CPU:(\d{1,6}) \[LOST (\d{1,18}) EVENTS\]$"
_CPU_DROPPED = rb"CPU:(\d{1,6}) \[(?:(-?\d{1,18}) )?EVENTS DROPPED\]$"
_VERSION = rb"[ \t]*VERSION[ \t]+(\S+)" + _END
_PCIDEV = (
    rb"[ \t]*PCIDEV[ \t]+([0-9a-fA-F]{4})[ \t]+([0-9a-fA-F]{4})([0-9a-fA-F]{4})((?:[ \t]+[0-9a-fA-F]{1,16}){15})"
    rb"(?:[ \t]+(\S*))?[ \t]*$"
)
_KEYWORDS = (b"VERSION", b"PCIDEV", b"MAP", b"UNMAP", b"R", b"W", b"UNKNOWN", b"MARK")

#: A whole record's beginning, anywhere: to count how many records a damaged line once was.
_BEGINNING = (
    rb"[RW] \d+ \d+\.\d{6} |UNKNOWN \d+\.\d{6} |UNMAP \d+\.\d{6} |MAP \d+\.\d{6} |MARK \d+\.\d{6} "
    rb"|PCIDEV [0-9a-f]{4} [0-9a-f]{8} |VERSION \d{8}|CPU:\d+ \[|# mmiotools(?: damaged)?: \{"
)
#: A record that begins right after something that is no blank: two lines whose line end was overwritten.
_GLUED = (
    rb"[^ ](?:[RW] \d+ \d+\.\d{6} -?\d+ 0x|UNKNOWN \d+\.\d{6} -?\d+ 0x|(?<!UN)MAP \d+\.\d{6} -?\d+ 0x"
    rb"|UNMAP \d+\.\d{6} -?\d+ 0x|MARK \d+\.\d{6} |PCIDEV [0-9a-f]{4} [0-9a-f]{8} [0-9a-f]+ "
    rb"|# mmiotools(?: damaged)?: \{)"
)
#: What the rest of a line cut in two looks like: numbers, and the driver name of a PCIDEV.
_NUMBERS = rb"[0-9a-fx,. -]+(?: \w+)?$"
#: Bytes of the longest line that a stray line end may have cut in two; records are far shorter.
_LONGEST = 1 << 12
#: What of a block has to be known to say whether its last line was.
REACH = _LONGEST + 2
#: Characters that a record needs before another can have run into it.
_ROOM = 4
#: Lines of no known kind that were records before a byte of their keyword, or the blank after it, was changed.
_BROKEN_KEYWORD = (
    rb"\S \d{1,2} \d+\.\d{6} -?\d+ 0x"
    rb"|[ \t]+\d{1,2} \d+\.\d{6} -?\d+ 0x"
    rb"|[RW]\S?\d{1,2} \d+\.\d{6} -?\d+ 0x"
    rb"|[ \t]*(?=\S*[^\d.\s])\S{0,8}?[ \t]?\d+\.\d{6} -?\d+ 0x"
    rb"|[ \t]*(?:[^\s]?ARK|M[^\s]RK|MA[^\s]K|MAR[^\s]|RK|K) \d+\.\d{6}(?: |$)"
    rb"|MARK\S\d+\.\d{6}(?: |$)|M ?A ?R ?K \d+\.\d{6}(?: |$)"
    rb"|[ \t]*\S{0,6}[ \t]?\S{0,6}[^0-9a-f]?[ \t][0-9a-f]{4} [0-9a-f]{8} [0-9a-f]{1,3}(?: [0-9a-f]+){12}"
    rb"|PCIDEV\S[0-9a-f]{4} [0-9a-f]{8} "
    rb"|[ \t]*(?:[^\s]?ERSION|V.RSION|VE.SION|VER.ION|VERS.ON|VERSI.N|VERSIO.|RSION|SION|ION|ON|N) \d{8}$"
    rb"|VERSION.\d{8}$"
)
_LOST_WORDS = (b"CPU:", b"LOST", b"EVENTS", b"DROPPED")


def parse_line(line: bytes, number: int, *, ended: bool = True) -> Event:
    """The event of one line, given without its line end. Never raises.

    `number` is the line's, from 1. `ended` is False for a last line without line end: it is an event only if its
    last field cannot have been cut, else damage.
    """
    event = _parse(line)
    if event is None:
        return _unreadable(line, number, ended)
    if not ended and not _surely_whole(event, line):
        return damaged("the last line is cut off", text=line, line=number)
    if render(event) != line:
        return event._replace(extra={**event.extra, "raw": line})
    return event


def access_matcher() -> Callable[[bytes], re.Match[bytes] | None]:
    """Takes an R or W line apart: its groups are kind, width, seconds, fraction, map, addr, value, pc, pid, from 1."""
    return _compiled(_ACCESS).match


def _parse(line: bytes) -> Event | None:
    bare = line.lstrip(b" \t")
    parser = _PARSERS.get(bare[:1]) or _PARSERS.get(bare[:3])
    return parser(line) if parser is not None else None


def _parse_access(line: bytes) -> Event | None:
    match = access_matcher()(line)
    if match is None:
        return None
    kind = Kind.READ if match[1] == b"R" else Kind.WRITE
    time = nanoseconds(match[3], match[4])
    return Event(
        kind,
        time,
        int(match[2]),
        int(match[5]),
        int(match[6], 16),
        value=int(match[7], 16),
        pc=int(match[8], 16),
        pid=int(match[9]),
    )


def _parse_unknown(line: bytes) -> Event | None:
    match = _compiled(_UNKNOWN).match(line)
    if match is None:
        return None
    opcode = bytes.fromhex(match[5].replace(b",", b"").decode())
    return Event(
        Kind.UNKNOWN,
        nanoseconds(match[1], match[2]),
        map=int(match[3]),
        addr=int(match[4], 16),
        pc=int(match[6], 16),
        pid=int(match[7]),
        extra={"opcode": opcode},
    )


def _parse_map(line: bytes) -> Event | None:
    match = _compiled(_MAP).match(line)
    if match is None:
        return None
    return Event(
        Kind.MAP,
        nanoseconds(match[1], match[2]),
        map=int(match[3]),
        addr=int(match[4], 16),
        pc=int(match[7], 16),
        pid=int(match[8]),
        extra={"virt": int(match[5], 16), "length": int(match[6], 16)},
    )


def _parse_unmap(line: bytes) -> Event | None:
    match = _compiled(_UNMAP).match(line)
    if match is None:
        return None
    time = nanoseconds(match[1], match[2])
    return Event(Kind.UNMAP, time, map=int(match[3]), pc=int(match[4], 16), pid=int(match[5]))


def _parse_mark(line: bytes) -> Event | None:
    match = _compiled(_MARK).match(line)
    if match is None:
        return None
    text = match[3]
    if text is None and len(match[2]) != 6:
        return None
    time = nanoseconds(match[1], match[2])
    lost = _compiled(_MARK_LOST).match(text or b"")
    if lost is not None and time == 0:
        return None if lost[2] else Event(Kind.LOST, time, extra={"count": int(lost[1])})
    return None if _compiled(_GLUED).search(line, _ROOM) else Event(Kind.MARK, time, extra={"text": text or b""})


def _parse_pcidev(line: bytes) -> Event | None:
    match = _compiled(_PCIDEV).match(line)
    if match is None:
        return None
    numbers = [int(word, 16) for word in match[4].split()]
    bars = []
    for number, (printed, size) in enumerate(zip(numbers[1:8], numbers[8:15], strict=True)):
        if printed or size:
            low = printed & 3 if printed & 1 else 0 if printed < 0x10000 else printed & 15
            bars.append(Bar(number, printed - low, size, low))
    driver = (match[5] or b"").decode("utf-8", "surrogateescape")
    if not driver.isascii():
        return None
    device = PciDevice(int(match[1], 16), int(match[2], 16), int(match[3], 16), numbers[0], tuple(bars), driver)
    return Event(Kind.DEVICE, extra=device.extra())


def _parse_version(line: bytes) -> Event | None:
    match = _compiled(_VERSION).match(line)
    if match is None or not match[1].isascii():
        return None
    return Event(Kind.HEADER, extra={"format": "mmiotrace", "version": match[1].decode()})


def _parse_cpu(line: bytes) -> Event | None:
    match = _compiled(_CPU_LOST).match(line) or _compiled(_CPU_DROPPED).match(line)
    if match is None or (match[2] or b"").startswith(b"-"):
        return None
    extra = {} if match[2] is None else {"count": int(match[2])}
    return Event(Kind.LOST, cpu=int(match[1]), extra=extra)


def _parse_comment(line: bytes) -> Event | None:
    for prefix in (META, DAMAGED):
        if line.startswith(prefix):
            import json  # Few traces have these, and it takes a while.

            try:
                content = json.loads(line[len(prefix) :])
            except (ValueError, RecursionError):
                return None
            if not isinstance(content, dict):
                return None
            if prefix == DAMAGED:
                content = {**content, "damaged": True}
            else:
                content = {"format": "mmiotools", **content}
            if not all(extra_fits(name, item) for name, item in content.items()):
                return None
            return Event(Kind.NOTE if prefix == DAMAGED else Kind.HEADER, extra=content)
    return None


#: By what a line begins with.
_PARSERS = {
    b"R": _parse_access,
    b"W": _parse_access,
    b"#": _parse_comment,
    b"UNK": _parse_unknown,
    b"MAP": _parse_map,
    b"UNM": _parse_unmap,
    b"MAR": _parse_mark,
    b"PCI": _parse_pcidev,
    b"VER": _parse_version,
    b"CPU": _parse_cpu,
}


def nanoseconds(seconds: bytes, fraction: bytes) -> int:
    """The time that the digits before and behind a point are."""
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))


def _surely_whole(event: Event, line: bytes) -> bool:
    """Whether a line without line end cannot be the beginning of a longer one."""
    if event.kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN, Kind.MAP, Kind.UNMAP):
        return line.endswith((b" 0", b"\t0"))
    if event.kind == Kind.HEADER:
        return event.extra.get("version") == VERSION or line.endswith(b"}")
    return event.kind == Kind.LOST or line.startswith(b"#")


def _unreadable(line: bytes, number: int, ended: bool) -> Event:
    """A line that is no record: a plain note, or damage with the number of records that it once was."""
    bare = line.strip(b" \t")
    keyword = bare.split(b" ", 1)[0]
    begun = [match.start() for match in _compiled(_BEGINNING).finditer(line)]
    # Something that is no record ran into the first record: it was an event too.
    events = max(1, len(begun) + (bool(begun) and begun[0] > 0 and _compiled(_GLUED).search(line, _ROOM) is not None))
    if keyword in _KEYWORDS:
        reason = f"malformed {keyword.decode()} record"
        if not ended:
            reason = "the last line is cut off"
        elif _compiled(_GLUED).search(line, _ROOM):
            reason = "two lines run into each other"
        return damaged(reason, text=line, events=events, line=number)
    if not ended and bare and any(known.startswith(bare) for known in (*_KEYWORDS, b"CPU:")):
        return damaged("the last line is cut off", text=line, line=number)
    if line.startswith((META, DAMAGED)):
        return damaged("malformed mmiotools comment", text=line, events=events, line=number)
    if _compiled(_GLUED).search(line, _ROOM):
        return damaged("two lines run into each other", text=line, events=events, line=number)
    if not ended and bare.startswith(b"CPU:"):
        return damaged("the last line is cut off", text=line, line=number)
    if _compiled(_BROKEN_KEYWORD).match(line) or sum(word in line for word in _LOST_WORDS) > 1:
        return damaged("a record whose keyword is damaged", text=line, events=events, line=number)
    return Event(Kind.NOTE, extra={"text": line})


def parse_alone(block: bytes | mmap, spans: Sequence[tuple[int, int, int]], first_line: int) -> list[Event]:
    """The events of some lines of a block: of each its number from 0, and where its text begins and ends."""
    events = []
    for row, start, end in spans:
        event = parse_line(block[start:end], first_line + row)
        # A record that a stray line end cut in two is one loss, not two.
        if _is_rest(event) and _may_be_half(block[max(0, start - REACH) : start]):
            text = event.extra["text"]
            event = damaged("the rest of the record before it", text=text, events=0, line=first_line + row)
        events.append(event)
    return events


def _is_rest(event: Event) -> bool:
    """Whether an event may be the second half of a line that was cut in two."""
    if event.kind != Kind.NOTE or event.damaged:
        return False
    return _compiled(_NUMBERS).match(event.extra["text"]) is not None


def _may_be_half(lines: bytes) -> bool:
    """Whether the last of some whole lines may be the first half of a record, cut in two by a stray line end."""
    line = lines[lines.rfind(b"\n", 0, -1) + 1 : -1].removesuffix(b"\r")
    return 0 < len(line) <= _LONGEST and parse_line(line, 0).damaged


def begun_at_the_end(lines: bytes) -> int:
    """How many of the last bytes of some whole lines cannot be told without what follows."""
    return len(lines) - lines.rfind(b"\n", 0, -1) - 1 if _may_be_half(lines) else 0
