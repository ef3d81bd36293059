"""What must hold when a trace format reads any bytes. `check` raises Broken, or whatever the reader raises."""

from __future__ import annotations

import io
import mmap
import time
import zlib
from pathlib import Path
from random import Random
from typing import Any

from quickly import differs, other_lines
from readings import (
    Broken,
    Dribble,
    Reading,
    engine,
    file_of,
    gathered,
    read,
    read_path,
    sane,
    small_chunks,
    told,
)

from mmiotools.errors import MmioToolsError
from mmiotools.events import Event, Kind
from mmiotools.filters.compile import Predicate
from mmiotools.filters.expr import Expr
from mmiotools.filters.grammar import parse
from mmiotools.filters.window import Window
from mmiotools.filters.zones import choose
from mmiotools.formats import FORMATS, open_trace, source
from mmiotools.formats.base import Sniff
from mmiotools.formats.source import ByteSource
from mmiotools.formats.writing import PreparingWriter
from mmiotools.stats.check import Check
from mmiotools.stats.summary import Summary, bulk_summary, counted_summary
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

#: Formats that write every byte of what they read, damage included.
COME_BACK = frozenset({"mmiotrace", "ftrace", "qemu-log", "renode", "serialice", "mmt-text", "conware", "relay", "mmt"})
#: Formats that write every event of what they read, damage included.
HOLD = frozenset({"native", "jsonl", "arrow", "parquet"})
#: Formats whose end is always known, and formats in which every byte is checked.
ENDS = frozenset({"native", "arrow", "parquet", "pcileech"})
CHECKED = frozenset({"native"})
#: Length of a long input, and how much a reader may keep of it where it is more than a few blocks: the longest block,
#: and whole files that pyarrow reads.
LONG = 64 << 20
KEPT = {"native": 400 << 20, "arrow": 400 << 20, "parquet": 400 << 20}


def check(name: str, data: bytes) -> int:
    """All that must hold for any input; how many events there are. Which of the slower things are looked at is told
    by the bytes themselves, so that the same input is always looked at in the same way.
    """
    form = FORMATS.get(name)
    rng = Random(zlib.crc32(data))
    head = data[: source.HEAD]
    for other in FORMATS.builtin_names() if rng.random() < 0.2 else [name]:
        if FORMATS.get(other).sniff(head) not in list(Sniff):
            raise Broken("sniffing gives no answer", other)
    if ByteSource(io.BytesIO(data), "x").compression is not None:
        return 0
    with file_of(data) as path:
        reading = read_path(path, name)
        if not reading.whole:
            return 0
        events = reading.events()
        piped = read(form, ByteSource(Dribble(data, rng.choice([1, 3, 7, 100, 1000])), "x"))  # type: ignore[arg-type]
        _same("a pipe gives other events than a file", reading, events, piped)
        if rng.random() < 0.5:
            _in_chunks(name, path, data)
        if name == "mmiotrace":
            tree, time = question(reading, rng)
            if problem := other_lines(path, data, tree, time, rng):
                raise Broken("the quick way gives something else", problem)
    if name == "native":
        selected(data, reading, honest=False)
    if name in ("mmiotrace", "native"):
        with engine("numpy"):
            _same("the engines do not agree", reading, events, read(form, data))
    if reading.error is not None or reading.header is None:
        return len(events)
    _written(name, data, reading, events, rng)
    if rng.random() < 0.2:
        _used(reading)
    return len(events)


def _same(what: str, reading: Reading, events: list[Event], other: Reading) -> None:
    if not other.whole:
        return
    if (reading.error is None) != (other.error is None):
        raise Broken(what, f"{reading.error} / {other.error}")
    # By what is shown: what is no number is no equal of itself. Where a header map is lost, who can seek has another.
    lost = TraceHeader("native")
    if reading.header is not None and repr(other.header) not in (repr(reading.header), repr(lost)):
        raise Broken(what, f"{reading.header} / {other.header}"[:600])
    theirs = other.events()
    if not alike(events, theirs):
        raise Broken(what, difference(events, theirs))


def alike(a: list[Event], b: list[Event]) -> bool:
    """Whether they are the same; what is no number is like itself, too."""
    return a == b or list(map(_shown, a)) == list(map(_shown, b))


def _shown(event: Event) -> str:
    """All of an event, in whatever order it says what is rare."""
    return repr((*event[:-1], sorted(event.extra.items(), key=lambda item: str(item[0]))))


def difference(a: list[Event], b: list[Event]) -> str:
    """The first place at which two lists of events differ."""
    for at, (one, two) in enumerate(zip(a, b, strict=False)):
        if _shown(one) != _shown(two):
            return f"event {at} of {len(a)} and {len(b)}\n  {one!r}\n  {two!r}"[:1500]
    longer = a if len(a) > len(b) else b
    return f"{len(a)} and {len(b)} events, then\n  {longer[min(len(a), len(b))]!r}"[:1500]


def _in_chunks(name: str, path: str, data: bytes) -> None:
    """In small chunks, and spread: no error but the project's, and all three the same."""
    with small_chunks():
        alone = read_path(path, name)
        try:
            trace = open_trace(path, name)
            if trace.spread is None or not alone.whole:
                return
            counted = Summary()
            events = 0
            for result in trace.spread(bulk_summary):
                counted.merge(result.result)
                events += result.events
            tallied = Summary()
            for tally in open_trace(path, name).counting(counted_summary) if trace.counting is not None else ():
                tallied.merge(tally.result)
        except MmioToolsError as error:
            told(error)
            return
    if events != sum(len(batch) for batch in alone.batches):
        raise Broken("spread over workers there are other events", f"{events}")
    reasons = [str(extra.get("reason")) for batch in alone.batches for _, extra in batch.damage()]
    if any("column '" in reason for reason in reasons):
        return  # nonsense under a right checksum, which is damage to who decodes that column only
    if trace.counting is not None and tallied.as_json() != counted.as_json():
        raise Broken("counted there are other accesses", f"{tallied.as_json()}\n{counted.as_json()}"[:1500])


def _written(name: str, data: bytes, reading: Reading, events: list[Event], rng: Random) -> None:
    form: Any = FORMATS.get(name)
    assert reading.header is not None
    if name in COME_BACK:
        back, lost = write(name, reading.header, reading.batches)
        if back != data:
            raise Broken("what is written is not what was read", _first_difference(data, back))
        if lost:
            raise Broken("its own writer loses something", str(lost))
    if name in COME_BACK and form.name == "mmiotrace":
        with engine("numpy"):
            if write(name, reading.header, reading.batches)[0] != back:
                raise Broken("the engines do not print the same")
    between = {name} if name in HOLD else set()
    between |= {other for other in ("native", "jsonl") if rng.random() < 0.3}
    for other in sorted(between):
        text, lost = write(other, reading.header, reading.batches)
        again = read(FORMATS.get(other), text)
        if lost:
            if other == name or other in ("native", "jsonl"):
                raise Broken(f"{other} loses something of what {name} read", str(lost))
            continue
        if not events and again.error:
            continue
        if again.error is not None:
            raise Broken(f"{other} does not read what it wrote", again.error)
        if not alike(again.events(), events):
            raise Broken(f"through {other} there are other events", difference(events, again.events()))
    if rng.random() < 0.25:
        names = [one for one in FORMATS.builtin_names() if getattr(FORMATS.get(one), "needs", None) is None]
        target = rng.choice([one for one in names if FORMATS.get(one).writable])
        try:
            write(target, reading.header, reading.batches)
        except MmioToolsError as error:
            told(error)


def write(name: str, header: TraceHeader, batches: list[Batch]) -> tuple[bytes, dict[str, int]]:
    """What a format writes, and what it says it loses."""
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, header)
    prepared = isinstance(writer, PreparingWriter) and sum(map(len, batches)) % 2
    for batch in batches:
        if prepared and isinstance(writer, PreparingWriter):
            writer.accept(writer.prepare(batch))
        else:
            writer.write(batch)
    writer.close()
    return out.getvalue(), dict(+writer.lost)


def _first_difference(a: bytes, b: bytes) -> str:
    at = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"byte {at} of {len(a)} and {len(b)}: {a[max(at - 60, 0) : at + 60]!r} / {b[max(at - 60, 0) : at + 60]!r}"


def _used(reading: Reading) -> None:
    """What commands do with any trace."""
    summary, verdict = Summary(), Check()
    for batch in reading.batches:
        summary.add(batch)
        verdict.add(batch)
    verdict.finish()
    told = next((finding.as_json() for finding in verdict.problems if finding.name == "damaged"), {})
    places = sum(len(list(batch.damage())) for batch in reading.batches)
    if summary.as_json()["damage"] != {"places": places, "events": told.get("events", 0)}:
        raise Broken("damage is counted in different ways", f"{summary.as_json()['damage']} {told}")
    if places != told.get("count", 0):
        raise Broken("damage is counted in different ways", f"{places} {told}")


# -- what a format can know of damage ---------------------------------------------------------------------------------


def check_cut(name: str, whole: bytes, data: bytes) -> int:
    """`data` is the beginning of `whole`: no access that was not there, and where the format has an end, it is told."""
    form = FORMATS.get(name)
    full, part = read(form, whole), read(form, data)
    if full.error is not None or not full.whole:
        return 0
    if name == "native":
        selected(data, part, honest=not full.damaged)
    if name in ENDS and data.rstrip() != whole.rstrip() and not full.damaged and not part.damaged:
        raise Broken("an input that is cut off is taken for a whole one", f"{len(data)} of {len(whole)} bytes")
    if full.damaged:
        return 0
    before, after = full.events(), part.events()
    # Of an access of two lines of ftrace, the second, with the time and a value that is read, may be behind the cut.
    known = {_cut(name, event, event) for event in before} | {_cut(name, event, None) for event in before}
    for event in after:
        if event.kind <= Kind.UNKNOWN and _cut(name, event, event) not in known:
            raise Broken("an input that is cut off holds an access that was not there", repr(event))
    return len(after)


def _cut(name: str, event: Event, valued: Event | None) -> tuple[Any, ...]:
    if name == "qemu-log" and event.region is not None:
        # A name that is cut at a quotation mark of its own looks whole.
        return event._replace(region=event.region.partition("'")[0])[:-1]
    if name != "ftrace":
        return event[:-1]
    return event._replace(time=None, value=None if valued is None else event.value)[:-1]


def check_flip(name: str, whole: bytes, data: bytes) -> int:
    """`data` is `whole` with one byte changed: told, or of no importance."""
    form = FORMATS.get(name)
    full, part = read(form, whole), read(form, data)
    if name in CHECKED and not part.damaged and not full.damaged and part.events() != full.events():
        raise Broken("a changed byte is not told", difference(full.events(), part.events()))
    if name == "native":
        selected(data, part, honest=not full.damaged)
    return len(part.batches)


def question(reading: Reading, rng: Random) -> tuple[Expr, int]:
    """An expression that may select something, and a time that may be one of the trace's."""
    addresses = [int(address) for batch in reading.batches for address in batch.data("addr")[:3]] or [0]
    times = [int(time) for batch in reading.batches for time in batch.data("time")[:3] if time >= 0] or [0]
    texts = [f"addr == {rng.choice(addresses):#x}", "write", f"time >= {rng.choice(times)}ns and read", "not access"]
    return parse(rng.choice(texts)), rng.choice(times)


def selected(data: bytes, reading: Reading, honest: bool) -> None:
    """A reader that leaves out blocks and columns finds what an expression selects, unless the file lies about them."""
    seed = zlib.crc32(data)
    tree, time = question(reading, Random(seed))
    columns = frozenset({"kind", "addr", "time"})
    with file_of(data) as path:
        for name in ("auto", "numpy"):
            with engine(name):
                if problem := differs(path, tree, time, Random(seed), honest):
                    raise Broken("the quick way gives something else", f"{name}: {problem}")
        try:
            trace = open_trace(path, "native", columns, choose(tree, Window()))
            found = gathered(trace.header, trace.batches)
        except MmioToolsError as error:
            told(error)
            return
    if not (honest and reading.whole and found.whole and reading.error is None):
        return
    predicate = Predicate(tree)
    ours, theirs = (
        [event[:2] for batch in some.batches for event in batch.take(predicate.mask(batch)).events()]
        for some in (reading, found)
    )
    if ours != theirs:
        raise Broken(
            "an expression selects something else where blocks are left out", f"{tree}: {len(ours)} {len(theirs)}"
        )


class Endless(io.RawIOBase):
    """A pipe that gives some bytes, and then others again and again, LONG in all."""

    def __init__(self, first: bytes, again: bytes) -> None:
        super().__init__()
        self._first, self._again = first, again * (1 + (1 << 16) // len(again))
        self._left = LONG

    def read(self, n: int = -1) -> bytes:
        """At most 64 KiB."""
        data, self._first = self._first or self._again, b""
        data = data[: min(n, self._left)]
        self._left -= len(data)
        return data


def check_long(name: str, data: bytes) -> int:
    """Of a long input that begins so, or is this again and again, no reader keeps much."""
    rng = Random(zlib.crc32(data))
    at = rng.choice([0, rng.randrange(len(data))])
    again = data[at:] if rng.random() < 0.4 else data[at : at + rng.choice([1, 1, 8, 40, 400])]
    before, end = resident(), time.process_time() + 2
    events = 0
    try:
        _, batches = FORMATS.get(name).read(ByteSource(Endless(data[:at], again), "x"))  # type: ignore[arg-type]
        for batch in batches:
            sane(batch)
            events += len(batch)
            if (grown := resident() - before) > KEPT.get(name, 160 << 20):
                raise Broken("memory grows with the input", f"{grown >> 20} MiB after {events} events")
            if time.process_time() > end:
                break
    except MmioToolsError as error:
        told(error)
    return events


def resident() -> int:
    """Bytes that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
