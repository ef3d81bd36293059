"""A second reader of native files, written from formats/native.md alone: no mmiotools, no numpy, one event at a time.

It proves that the page is complete. Events are dicts of the fields that they have; a gap is a dict with `gap`, the
number of events that are missing there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack
import zstandard

MAGIC, SYNC, END = b"\x89MMIO\r\n\x1a", b"\x8aMMBLK\r\n", b"MMIOEND\n"
HEADER, FRAME, TRAILER = struct.Struct("<8sHHIQIII"), struct.Struct("<8sB3xIIQIII"), struct.Struct("<Q8s")
UNKNOWN = 2**64 - 1
EOL = {1: "crlf", 2: "none"}

Record = dict[str, Any]


class Damage(Exception):
    """Something does not check out."""


def msg(data: bytes) -> Any:
    """One msgpack object."""

    def extension(code: int, body: bytes) -> Any:
        return int.from_bytes(body, "big", signed=True) if code == 1 else msgpack.ExtType(code, body)

    return msgpack.unpackb(data, ext_hook=extension, strict_map_key=False, unicode_errors="surrogatepass")


def zstd(frame: bytes, most: int) -> bytes:
    """The content of a zstd frame that may hold `most` bytes."""
    if zstandard.frame_content_size(frame) > most:
        raise Damage("too large")
    return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(frame, max_output_size=most)


def planes(stored: Any, m: int) -> list[int]:
    """m natural numbers."""
    if isinstance(stored, bytes):
        content = zstd(stored, 8 * m)
        parts = [content[at : at + m] for at in range(0, len(content), m)] if m else []
    else:
        parts = [zstd(frame, m) for frame in stored]
    if len(parts) > 8 or any(len(part) != m for part in parts):
        raise Damage("planes of the wrong length")
    return [sum(part[i] << 8 * place for place, part in enumerate(parts)) for i in range(m)]


def unzigzag(number: int) -> int:
    """0 1 2 3 → 0 -1 1 -2."""
    return number >> 1 if number % 2 == 0 else -(number + 1 >> 1)


def wrap(number: int) -> int:
    """Modulo 2**64, as signed."""
    return (number + 2**63) % 2**64 - 2**63


def values(entry: list[Any], payload: bytes, m: int, addresses: list[int]) -> list[int] | None:
    """The m values of a column; None for an unknown encoding."""
    encoding, bits, _, _, parameter = entry[:5]
    if encoding == 0:
        return [parameter] * m
    if encoding not in (1, 2, 3, 4):
        return None
    parts = msg(payload)
    if encoding == 4:
        (first, unit), steps = parameter, list(zstd(parts["v"], m))
        escapes = [i for i, step in enumerate(steps) if step == 255]
        if escapes:
            large = planes(parts["x"], len(escapes)) if "x" in parts else None
            if large is None:
                large = [unzigzag(number) for number in planes(parts["z"], len(escapes))]
            for i, step in zip(escapes, large, strict=True):
                steps[i] = step
        if len(steps) != m:
            raise Damage("steps of the wrong length")
        out = []
        for step in steps:
            first = wrap(first + step)
            out.append(wrap(first * unit))
        return out
    numbers = planes(parts["v"], m)
    if encoding == 3:
        return [addresses[number] for number in numbers]
    if encoding == 2:
        count, stored = parts["k"]
        dictionary = planes(stored, count)
        numbers = [dictionary[number] for number in numbers]
    return [unzigzag(number) for number in numbers] if bits < 0 else numbers


def payloads(columns: dict[str, list[Any]], raw: bytes) -> tuple[dict[str, bytes], bool]:
    """What a body holds of a directory's columns that checks out, and whether nothing was wrong."""
    places, at = {}, 1 if sum(entry[2] > 0 for entry in columns.values()) < 16 else 3
    for name, entry in columns.items():
        if entry[2]:
            at += len(msgpack.packb(name)) + (2 if entry[2] < 256 else 3 if entry[2] < 65536 else 5)
            places[name] = raw[at : at + entry[2]]
            at += entry[2]
    try:
        body = msg(raw)
    except (ValueError, TypeError):  # the latter for a key that is a list
        body = None
    sound = isinstance(body, dict)
    found = {}
    for name, entry in columns.items():
        for way, source in enumerate((body if isinstance(body, dict) else {}, places)):
            payload = source.get(name, b"")
            if isinstance(payload, bytes) and len(payload) == entry[2] and zlib.crc32(payload) == entry[3]:
                found[name] = payload
                sound &= way == 0
                break
        else:
            sound = False
    return found, sound


def shared_places(columns: dict[str, list[Any]], body: dict[str, bytes], n: int) -> tuple[list[int], int]:
    """The places of n events among the block's distinct rows, and how many these are."""
    found = [name for name, entry in columns.items() if entry[0] == 7]
    if not found:
        return [], 0
    (name,) = found
    if name not in body or len(columns[name]) != 5:
        raise Damage("places")
    count = columns[name][4]
    places = planes(msg(body[name])["v"], n)
    if not 0 < count <= n or max(places) >= count:
        raise Damage("a place beyond the distinct rows")
    return places, count


def block(head: dict[str, Any], raw: bytes, events: int, unknown: set[str]) -> tuple[list[Record], int | None]:
    """The events of an events block and, where its body is damaged, how many are lost; columns in an unknown encoding
    are added to `unknown`.
    """
    n = head["n"]
    if n != events or not 1 <= n <= 65536:
        raise Damage("count")
    addresses = []
    if "addresses" in head:
        count, stored, *parted = head["addresses"]
        at = 0
        for number, step in enumerate(planes(stored, count)):
            at = step if parted == [number] else at + step
            addresses.append(at)
    rows: list[Record] = [{"extra": {}} for _ in range(n)]
    body, sound = payloads(head["columns"], raw)
    if "kind" not in body:
        raise Damage("kind")
    places, distinct = shared_places(head["columns"], body, n)
    for name, payload in body.items():
        entry = head["columns"][name]
        if entry[0] == 7:
            continue
        if name == "extras":
            for row, extra in msg(zstd(payload, 1 << 26)).items():
                rows[row]["extra"].update(extra)
            continue
        there = list(range(n))
        if len(entry) > 5:
            bitmap = zstd(head["present"][entry[5]], -(-n // 8))
            there = [i for i in there if bitmap[i // 8] >> i % 8 & 1]
        if entry[0] == 6 and entry[4] not in (1, 2, 3):
            raise Damage("shared in an encoding that cannot be")
        if entry[0] == 6:
            each = values([entry[4], entry[1], 0, 0, None], payload, distinct, addresses) or []
            found = [each[places[i]] for i in there]
        else:
            found = values(entry, payload, len(there), addresses)
        if found is None:
            unknown.add(name)
            continue
        for i, value in zip(there, found, strict=True):
            rows[i][name] = value
    for row in rows:
        if not 0 <= row["kind"] <= 10:
            raise Damage("kind")
        if "region" in row:
            row["region"], row["space"] = head["regions"][row["region"]]
        if "opcode" in row:
            packed = row.pop("opcode").to_bytes(8, "big")
            row["extra"]["opcode"] = packed[8 - packed[0] :]
        if eol := row.pop("eol", 0):
            row["extra"]["eol"] = EOL[eol]
        if "value" in row["extra"]:
            row["value"] = row["extra"].pop("value")
    if sound:
        return rows, None
    left = rows if "extras" in body or "extras" not in head["columns"] else [row for row in rows if row["kind"] <= 2]
    return left, n - len(left)


class Reader:
    """Reads a whole input; `header` is the first header map, and `records` what the input holds."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.header: Record = {}
        self.at = self.expected = self.told = 0
        self.total: int | None = None
        self.footer_due = False
        self.damaged = False
        self.unknown: set[str] = set()
        self.records = list(self._read())

    def _header_at(self, at: int) -> Any:
        raw = self.data[at : at + HEADER.size]
        if len(raw) < HEADER.size or not raw.startswith(MAGIC):
            return None
        fields = HEADER.unpack(raw)
        return fields if zlib.crc32(raw[:-4]) == fields[-1] else None

    def _frame_at(self, at: int) -> Any:
        raw = self.data[at : at + FRAME.size]
        if len(raw) < FRAME.size or not raw.startswith(SYNC):
            return None
        fields = FRAME.unpack(raw)
        too_long = fields[2] > 1 << 24 or fields[3] > 1 << 26
        return None if zlib.crc32(raw[:-4]) != fields[-1] or too_long else fields[1:-1]

    def _search(self, at: int) -> int:
        while True:
            marks = [mark for mark in (self.data.find(SYNC, at), self.data.find(MAGIC, at)) if mark >= 0]
            if not marks:
                return len(self.data)
            at = min(marks)
            if self._frame_at(at) or self._header_at(at):
                return at
            at += 1

    def _start_file(self) -> None:
        self.file_start = self.at
        fields = self._header_at(self.at)
        self.expected = self.told = 0
        self.total, self.footer_due = None, False
        if fields is None:
            self.damaged = True
            self.at = self._search(self.at)
            return
        _, major, _, flags, events, length, crc, _ = fields
        if major > 1:
            raise ValueError(f"version {major}, and this reads 1")
        self.at += HEADER.size
        self.total = None if events == UNKNOWN else events
        self.footer_due = bool(flags & 1)
        header_map = self.data[self.at : self.at + length]
        if zlib.crc32(header_map) == crc:
            self.at += len(header_map)
            self.header = self.header or msg(header_map)
        else:
            self.damaged = True

    def _gap(self, first: int) -> Iterator[Record]:
        missing = max(first - self.expected, 0)
        if missing or self.damaged:
            yield {"gap": missing}
        self.damaged = False
        self.expected = max(first, self.expected)

    def _end_file(self) -> Iterator[Record]:
        self.damaged |= self.footer_due
        yield from self._gap(max(self.told, self.total or 0, self.expected))

    def _read(self) -> Iterator[Record]:
        self._start_file()
        while self.at < len(self.data):
            if self._header_at(self.at):
                yield from self._end_file()
                self._start_file()
                continue
            frame = self._frame_at(self.at)
            if frame is None:
                self.damaged = True
                self.at = self._search(self.at + 1)
                continue
            kind, head_length, body_length, first, events, head_crc = frame
            self.told = max(self.told, first + events)
            start = self.at + FRAME.size
            raw_head = self.data[start : start + head_length]
            raw_body = self.data[start + head_length : start + head_length + body_length]
            rows: list[Record] = []
            lost = None
            try:
                if len(raw_head) + len(raw_body) < head_length + body_length or zlib.crc32(raw_head) != head_crc:
                    raise Damage("head")
                head = msg(raw_head)
                if kind == ord("E"):
                    unknown = set(self.unknown)
                    rows, lost = block(head, raw_body, events, unknown)
                    self.damaged |= unknown != self.unknown
                    self.unknown = unknown
            except (Damage, ValueError, TypeError, LookupError, zstandard.ZstdError):
                self.damaged = True
                self.at = self._search(self.at + 1)
                continue
            end = start + head_length + body_length
            whole = lost is None or end == len(self.data) or self._frame_at(end) or self._header_at(end)
            self.at = end if whole else self._search(self.at + 1)
            yield from self._gap(first)
            if lost is not None:
                yield {"gap": lost}
            self.expected += len(rows) + (lost or 0)
            yield from rows
            if kind == ord("F"):
                yield from self._footer(head, start - FRAME.size)
        yield from self._end_file()

    def _footer(self, head: dict[str, Any], at: int) -> Iterator[Record]:
        self.footer_due = False
        self.header = self.header or head["header"]
        if self.data[self.at : self.at + TRAILER.size] == TRAILER.pack(at - self.file_start, END):
            self.at += TRAILER.size
        else:
            self.damaged = True
            self.at = self._search(self.at)
        yield from self._gap(self.expected)


def footer(data: bytes) -> dict[str, Any]:
    """The head of the footer of a file that is alone in its input, found from its end."""
    footer, end = TRAILER.unpack(data[-TRAILER.size :])
    _, kind, head_length, _, _, _, _, _ = FRAME.unpack_from(data, footer)
    if end != END or kind != ord("F"):
        raise Damage("footer")
    head: dict[str, Any] = msg(data[footer + FRAME.size : footer + FRAME.size + head_length])
    return head


def index(data: bytes) -> list[dict[str, int]]:
    """The index in the footer."""
    head = footer(data)
    count, fields = head["blocks"], head["fields"]
    content = zstd(head["index"], 8 * count * len(fields))
    numbers = struct.unpack(f"<{count * len(fields)}Q", content)
    out: list[dict[str, int]] = [{} for _ in range(count)]
    for place, name in enumerate(fields):
        at = 0
        for row in range(count):
            at = (at + numbers[place * count + row]) % 2**64
            out[row][name] = wrap(at) if name.startswith("time") else at
    return out


def pages(data: bytes) -> list[list[range]]:
    """For each block the pages in which it has addresses, by the footer."""
    head = footer(data)
    shift, count, packed = head["pages"]
    numbers, at = [], 0
    for step in struct.unpack(f"<{count}Q", zstd(packed, 8 * count)):
        at += step
        numbers.append(at)
    size = -(-count // 8)
    seen = zstd(head["seen"], head["blocks"] * size)
    return [
        [
            range(number << shift, number + 1 << shift)
            for i, number in enumerate(numbers)
            if seen[block * size + i // 8] >> i % 8 & 1
        ]
        for block in range(head["blocks"])
    ]
