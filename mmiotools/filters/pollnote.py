"""The one line that stands for a folded poll loop: readable in front, and behind it all that restores the events.

`# poll x1384 over 2.1 ms: R4 0xfebc0008 0x0 -> 0x1 = PAYLOAD`, where PAYLOAD is the base64 of a CRC-32 and a zlib
stream: a JSON line with the columns of one turn, then the differences of the times.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib

import numpy as np

from mmiotools.events import Event, Kind, is_damage
from mmiotools.filters.expr import seconds
from mmiotools.trace.batch import DTYPES, MAX_EVENTS, Array, Batch, Column, Regions
from mmiotools.typed import Any, Iterator

KNOWN = frozenset(DTYPES)
POLL = b"# poll "
#: A line of the input that only looks like one of ours is kept behind this word.
QUOTED = b"# poll-quoted "
_LINE = re.compile(rb"# poll x(\d{1,9}) .*= ([A-Za-z0-9+/=]+)$", re.DOTALL)
_INTEGERS = ("i1", "i2", "i4", "i8")
#: Reason of the damage when a folded loop cannot be restored.
BROKEN = "a folded poll loop is damaged"
_LETTERS = {Kind.READ: "R", Kind.WRITE: "W"}


# -- finding and quoting ----------------------------------------------------------------------------------------


def rows_of(batch: Batch) -> Iterator[tuple[int, bytes]]:
    """Row and text of the NOTE events that begin like a folded loop or a quoted line."""
    if batch.extras:
        for row in batch.rows(Kind.NOTE).tolist():
            extra = batch.extras.get(row, {})
            text = extra.get("text")
            if isinstance(text, bytes) and text.startswith((POLL, QUOTED)) and not is_damage(Kind.NOTE, extra):
                yield row, text


def quoted(batch: Batch) -> Batch:
    """The batch with its own `# poll` lines quoted, so that only what is folded now will be unfolded."""
    texts = dict(rows_of(batch))
    if not texts:
        return batch
    extras = {**batch.extras, **{row: {**batch.extras[row], "text": QUOTED + text} for row, text in texts.items()}}
    return Batch(batch.kind, batch.columns, extras, batch.regions)


def unquoted(batch: Batch) -> tuple[Batch, list[tuple[int, bytes]]]:
    """The batch with the quotes taken off, and row and text of the folded loops in it."""
    folded = []
    extras: dict[int, dict[str, Any]] = {}
    for row, text in rows_of(batch):
        if text.startswith(QUOTED):
            extras[row] = {**batch.extras[row], "text": text[len(QUOTED) :]}
        else:
            folded.append((row, text))
    if extras:
        batch = Batch(batch.kind, batch.columns, {**batch.extras, **extras}, batch.regions)
    return batch, folded


# -- encoding ---------------------------------------------------------------------------------------------------


def encode(batch: Batch, start: int, stop: int, period: int, follower: Event | None) -> bytes:
    """The line for rows start..stop-1, which repeat a turn of `period` rows. `follower` is the event after the loop."""
    columns: dict[str, Any] = {}
    tail = b""
    head: dict[str, Any] = {"n": stop - start, "kind": batch.kind[start : start + period].tolist()}
    for name in batch.columns:
        data, present = batch.data(name)[start:stop], batch.present(name)[start:stop]
        if not present.any():
            continue
        entry: dict[str, Any] = {"dtype": data.dtype.str, "present": present[:period].astype(int).tolist()}
        if name == "time":
            entry["first"] = int(data[0])
            entry["unit"], entry["deltas"], tail = _pack_times(data)
        elif name == "region":
            codes = data[:period].tolist()
            entry["data"] = [[batch.regions.names[c], batch.regions.spaces[c]] for c in codes]
        else:
            entry["data"] = data[:period].tolist()
        columns[name] = entry
    head["columns"] = columns
    body = json.dumps(head, separators=(",", ":")).encode() + b"\n" + tail
    packed = zlib.compress(body, 9)
    payload = base64.b64encode(zlib.crc32(body).to_bytes(4, "big") + packed)
    summary = re.sub(r"[^ -~]", "?", _summary(batch, start, stop, period, follower)).encode("ascii")
    return b"%sx%d %s = %s" % (POLL, stop - start, summary, payload)


def _pack_times(data: Array) -> tuple[int, str, bytes]:
    """Unit, type and bytes of the differences of times; arithmetic is modulo 2**64, so that nothing is lost."""
    deltas = np.diff(data)
    lowest = np.iinfo(np.int64).min
    unit = 1 if not len(deltas) or (deltas == lowest).any() else int(np.gcd.reduce(np.abs(deltas))) or 1
    deltas = deltas // unit
    low, high = (int(deltas.min()), int(deltas.max())) if len(deltas) else (0, 0)
    name = next(i for i in _INTEGERS if np.iinfo(i).min <= low and high <= np.iinfo(i).max)
    return unit, name, deltas.astype("<" + name).tobytes()


def _summary(batch: Batch, start: int, stop: int, period: int, follower: Event | None) -> str:
    """Span and accesses of the loop, for people."""
    turn = [batch.event(row) for row in range(start, start + period)]
    span = ""
    first, last = batch.event(start).time, batch.event(stop - 1).time
    if first is not None and last is not None:
        span = f"over {_duration(last - first)}"
    texts = []
    for event in turn:
        where = f"{event.region}+{event.offset or 0:#x}" if event.region is not None else ""
        if event.addr is not None:
            where = f"{event.addr:#x}"
        value = "" if event.value is None else f" {event.value:#x}"
        texts.append(f"{_LETTERS[event.kind]}{'' if event.width is None else event.width} {where}{value}")
    after = ""
    if period == 1 and follower is not None and follower.value is not None and _same_register(turn[0], follower):
        after = f" -> {follower.value:#x}"
    return f"{span}: {'; '.join(texts)}{after}".strip()


def _same_register(one: Event, other: Event) -> bool:
    return one._replace(time=None, value=None, extra={}) == other._replace(time=None, value=None, extra={})


def _duration(nanoseconds: int) -> str:
    size = abs(nanoseconds)
    for unit, scale in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if size >= scale:
            return f"{seconds(nanoseconds * (10**9 // scale))} {unit}"
    return f"{nanoseconds} ns"


# -- decoding ---------------------------------------------------------------------------------------------------


def decode(text: bytes, regions: Regions) -> Batch | None:
    """The events that a line stands for; None for a comment that is none of ours.

    A line of ours that was damaged gives a damaged NOTE that counts the events it stood for.
    """
    match = _LINE.match(text)
    if match is None:
        return None
    try:
        return _restore(match[2], int(match[1]), regions)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError, RecursionError, zlib.error):
        events = int(match[1])
        note = {"text": text, "damaged": True, "reason": BROKEN, "events": events}
        return Batch(np.array([Kind.NOTE], np.uint8), {}, {0: note}, regions)


def _restore(payload: bytes, promised: int, regions: Regions) -> Batch:
    try:
        raw = base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    limit = MAX_EVENTS * 8 + (1 << 16)
    body = zlib.decompressobj().decompress(raw[4:], limit)
    if zlib.crc32(body).to_bytes(4, "big") != raw[:4]:
        raise ValueError("checksum")
    line, _, tail = body.partition(b"\n")
    head = json.loads(line)
    n, kinds = head["n"], head["kind"]
    if n != promised or not 0 < n <= MAX_EVENTS or not 0 < len(kinds) <= n or n % len(kinds):
        raise ValueError("count")
    turns = n // len(kinds)
    columns = {}
    for name, entry in head["columns"].items():
        dtype = np.dtype(entry["dtype"])
        if dtype.kind not in "iub":
            raise ValueError("type")
        if name == "time":
            data = _unpack_times(entry, tail, n)
        elif name == "region":
            data = np.tile(np.array([regions.code(*pair) for pair in entry["data"]], dtype), turns)
        else:
            data = np.tile(np.array(entry["data"], dtype), turns)
        present = np.tile(np.array(entry["present"], np.bool_), turns)
        if len(data) != n or len(present) != n:
            raise ValueError("length")
        columns[name] = Column(data, None if present.all() else present)
    return Batch(np.tile(np.array(kinds, np.uint8), turns), columns, {}, regions)


def _unpack_times(entry: dict[str, Any], tail: bytes, n: int) -> Array:
    if entry["deltas"] not in _INTEGERS:
        raise ValueError("type")
    deltas = np.frombuffer(tail, "<" + entry["deltas"]).astype(np.int64)
    if len(deltas) != n - 1:
        raise ValueError("length")
    steps = np.concatenate([np.array([entry["first"]], np.int64), deltas * np.int64(entry["unit"])])
    return np.cumsum(steps, dtype=np.int64)
