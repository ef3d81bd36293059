"""The body of a native block: its columns' payloads, as many as check out. A byte that is wrong costs one of them, and
with the places that several share all of these.
"""

from __future__ import annotations

import zlib

from mmiotools.formats.native_layout import EVENTS, FRAME_SIZE, MAX_COLUMNS, MAX_ROWS, pack, unpack, unpack_frame
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.typed import Any, NamedTuple

#: The column without which a block is none: no row is known without a kind.
NEEDED = "kind"
#: The column that has nearly all of what is known of events that are no accesses: they are lost with it.
EXTRAS = "extras"


class Body(NamedTuple):
    """What is left of a body.

    payloads  by the name of the column
    lost      the columns whose payload is not what the block's head says
    sound     whether the body is as it was written, as far as can be told
    """

    payloads: dict[Any, bytes]
    lost: tuple[str, ...]
    sound: bool


def whole_block(data: Any, first: int, n: int) -> tuple[dict[str, Any], dict[Any, bytes]]:
    """Head and payloads of the block of n events, from number `first` on, that `data` is with its frame.

    Raises Corrupt, or another error of unpacking, where it is another one or damaged.
    """
    frame = unpack_frame(bytes(data[:FRAME_SIZE]))
    if frame is None or (frame.type, frame.first, frame.events) != (EVENTS, first, n):
        raise Corrupt("another frame")
    body = FRAME_SIZE + frame.head_length
    packed = data[FRAME_SIZE:body]
    if body + frame.body_length != len(data) or zlib.crc32(packed) != frame.head_crc:
        raise Corrupt("a damaged head")
    return whole_parts(packed, data[body:], n)


def whole_parts(packed: Any, body: Any, n: int) -> tuple[dict[str, Any], dict[Any, bytes]]:
    """The same of a block's head, which is known to be whole, and its body."""
    head = unpack(packed)
    if not 1 <= n <= MAX_ROWS or head["n"] != n or len(head["columns"]) > MAX_COLUMNS or NEEDED not in head["columns"]:
        raise Corrupt("an impossible head")
    payloads, _, sound = read_body(head["columns"], body)
    if not sound:
        raise Corrupt("a damaged body")
    return head, payloads


def address_list(head: dict[str, Any], n: int) -> tuple[int, Any, int] | None:
    """Of the distinct addresses of a block of n events: how many they are, the planes of their differences, and how
    many are in the first part, 0 where there is but one. None where its head has none.
    """
    if "addresses" not in head:
        return None
    size, planes, *parted = head["addresses"]
    if type(size) is not int or not 0 < size <= n:
        raise Corrupt("its address dictionary has an impossible size")
    often = parted[0] if parted else 0
    if type(often) is not int or not 0 <= often < size or len(parted) > 1:
        raise Corrupt("its address dictionary has an impossible part")
    return size, planes, often


def read_body(directory: dict[Any, Any], packed: bytes) -> Body:
    """The payloads of a directory's columns. Where the map does not have a payload that checks out, it is looked for
    where the writer puts it. May raise what malformed directories raise.
    """
    try:
        found = unpack(packed)
    except ValueError:
        found = None
    sound = isinstance(found, dict)
    payloads: dict[Any, Any] = {name: found.get(name, b"") if sound else None for name in directory}
    bad = [name for name, entry in directory.items() if not _fits(entry, payloads[name])]
    if sound and not bad:
        return Body(payloads, (), True)
    payloads |= _by_place(directory, packed, bad)
    lost = [name for name in bad if not _fits(directory[name], payloads[name])]
    for name in lost:
        del payloads[name]
    return Body(payloads, tuple(map(str, lost)), False)


def _fits(entry: Any, payload: Any) -> bool:
    """Whether a payload has the length and the checksum of its entry."""
    return isinstance(payload, bytes) and len(payload) == entry[2] and zlib.crc32(payload) == entry[3]


def _by_place(directory: dict[Any, Any], packed: bytes, names: list[Any]) -> dict[Any, bytes]:
    """What lies where a writer puts payloads: in the directory's order, with everything spelled as short as it goes."""
    sizes = {name: entry[2] for name, entry in directory.items()}
    at = 1 if sum(map(bool, sizes.values())) < 16 else 3
    found = dict.fromkeys(names, b"")
    for name, size in sizes.items():
        if size:
            at += len(pack(name)) + (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)
            if name in found:
                found[name] = packed[at : at + size]
            at += size
    return found
