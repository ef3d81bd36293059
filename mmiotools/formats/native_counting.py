"""Stretches of a native file for who only counts: blocks are counted where that can be, all others decoded."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmiotools.formats.native_layout import EVENTS, FRAME_SIZE, unpack, unpack_frame
from mmiotools.formats.native_tally import BlockTally
from mmiotools.trace.tally import Counted

if TYPE_CHECKING:
    from types import ModuleType

    from mmiotools.trace.batch import Batch

#: Bytes that are read at a time, or one block.
_AT_ONCE = 1 << 20


def counted_blocks(
    fast: ModuleType,
    descriptor: int,
    offsets: Sequence[int],
    firsts: Sequence[int],
    decode: Callable[[int], Iterator[Batch]],
) -> Iterator[Counted]:
    """The events of blocks that follow each other: block i lies at the bytes offsets[i]..offsets[i+1]-1, and has the
    events firsts[i]..firsts[i+1]-1, if it is what the index says.

    decode  gives the batches of block i, and notes of damage
    """
    tally = BlockTally(fast)
    for at, block in _read(descriptor, offsets):
        if not _count(tally, block, firsts[at], firsts[at + 1]):
            yield from tally.taken()
            for batch in decode(at):
                yield Counted(len(batch), batch=batch)
        elif tally.full:
            yield from tally.taken()
    yield from tally.taken()


def _read(descriptor: int, offsets: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Every block's number, and its bytes."""
    at, last = 0, len(offsets) - 1
    while at < last:
        stop = at + 1
        while stop < last and offsets[stop + 1] - offsets[at] <= _AT_ONCE:
            stop += 1
        start = offsets[at]
        data = memoryview(os.pread(descriptor, offsets[stop] - start, start))
        for number in range(at, stop):
            yield number, data[offsets[number] - start : offsets[number + 1] - start]
        at = stop


def _count(tally: BlockTally, block: Any, first: int, stop: int) -> bool:
    """Count a block; False, and nothing is counted, where it is to be decoded."""
    frame = unpack_frame(bytes(block[:FRAME_SIZE]))
    if frame is None or frame.type != EVENTS or (frame.first, frame.events) != (first, stop - first):
        return False
    body = FRAME_SIZE + frame.head_length
    if len(block) != body + frame.body_length or zlib.crc32(block[FRAME_SIZE:body]) != frame.head_crc:
        return False
    try:
        head = unpack(block[FRAME_SIZE:body])
    except ValueError:
        return False
    return isinstance(head, dict) and tally.add(frame.events, head, block[body:])
