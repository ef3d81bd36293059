"""The records of mmio-trace's binary stream, version 4: little-endian, a header of 20 bytes and a payload."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event
from mmiotools.typed import Any

#: The top byte of a type word, and the one below it.
MAGIC, VERSION = 0x6F, 4
#: The low byte of a type word. READ is 1, WRITE 2.
MAP, UNMAP, MARK, UNKNOWN = 3, 4, 5, 6
#: Payload bytes of each; a mark has any number up to 65535.
LENGTHS = {1: 24, 2: 24, MAP: 32, UNMAP: 32, UNKNOWN: 24}

HEAD: np.dtype[Any] = np.dtype(
    [("type", "<u4"), ("sec", "<u4"), ("nsec", "<u4"), ("pid", "<u4"), ("length", "<u2"), ("padding", "<u2")]
)
ACCESS: np.dtype[Any] = np.dtype([*HEAD.descr, ("virt", "<u8"), ("value", "<u8"), ("pc", "<u8")])
PROBE: np.dtype[Any] = np.dtype([("phys", "<u8"), ("virt", "<u8"), ("length", "<u8"), ("pc", "<u8")])

#: relayfs hands out buffers of this size; a record never goes over the end of one.
SUBBUFFER = 1 << 18
#: No record, and nothing that may stand at the end of a sub-buffer, is longer.
LONGEST = SUBBUFFER + HEAD.itemsize
WHOLE_SECOND = 1_000_000_000


def seems(data: bytes, at: int) -> bool:
    """Whether the 20 bytes at a place can be the header of a record of this version."""
    if len(data) - at < HEAD.itemsize or data[at + 2] != VERSION or data[at + 3] != MAGIC:
        return False
    opcode = data[at]
    length = data[at + 16] | data[at + 17] << 8
    return length == LENGTHS.get(opcode, length if opcode == MARK else -1)


def pack(opcode: int, event: Event, payload: bytes | tuple[int, ...]) -> bytes:
    """A record with the time and pid of an event; where it has none they are 0."""
    if isinstance(payload, tuple):
        payload = np.array(payload, "<u8").tobytes()
    seconds, rest = divmod(event.time or 0, WHOLE_SECOND)
    words = (seconds & 0xFFFFFFFF, rest, (event.pid or 0) & 0xFFFFFFFF)
    head = np.array([(MAGIC << 24 | VERSION << 16 | opcode, *words, len(payload), 0)], HEAD)
    return head.tobytes() + payload
