"""A native file for who only counts, by its index: blocks are counted where that can be, all others decoded."""

from __future__ import annotations

import os

from mmiotools.formats.native_layout import FRAME_SIZE, MAX_BODY, MAX_HEAD
from mmiotools.formats.native_stored import Unfit
from mmiotools.formats.native_table import Table, read_table
from mmiotools.formats.native_tally import BlockTally
from mmiotools.formats.parallel import ordered_map, shares
from mmiotools.formats.source import ByteSource, Extent
from mmiotools.trace.header import Tallied
from mmiotools.trace.in_c import part_in_c
from mmiotools.trace.tally import Counted
from mmiotools.typed import TYPE_CHECKING, Any, Callable, Iterator, Sequence, TypeVar

if TYPE_CHECKING:
    from mmiotools.formats.native_read import NativeReader
    from mmiotools.typed import ModuleType

R = TypeVar("R")

#: Blocks that a worker counts at a time; bytes that it reads at a time, or one block.
_TOGETHER, _AT_ONCE = 128, 1 << 18
#: Blocks that are worth other processes, whatever is in them.
_MANY = 32
#: What is longer is no block.
_MOST = FRAME_SIZE + MAX_HEAD + MAX_BODY


class _Hurt(Exception):
    """A block is damaged."""


def count_file(
    fast: ModuleType,
    source: ByteSource,
    descriptor: int,
    size: int,
    told: int | None,
    reader: Callable[[], NativeReader],
    function: Callable[[Counted], R],
) -> Iterator[Tallied[R]] | None:
    """function(counted) for all of an open file of `size` bytes, computed anywhere, given in order; None where the file
    has no index that is good.

    told    how many events the header says there are
    reader  is only asked for, wherever that may be, where there is something to decode
    """
    try:
        table = read_table(descriptor, size)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return None
    return _count_blocks(fast, source, (descriptor, size), table, told, reader, function)


def _count_blocks(
    fast: ModuleType,
    source: ByteSource,
    file: tuple[int, int],
    table: Table,
    told: int | None,
    reader: Callable[[], NativeReader],
    function: Callable[[Counted], R],
) -> Iterator[Tallied[R]]:
    descriptor, size = file
    offsets, firsts = [*table.columns["offset"], table.end], [*table.columns["first"], table.events]
    last = len(offsets) - 1

    def decode(at: int) -> Iterator[Counted]:
        batches, hurt = reader().stretch(Extent(descriptor, *offsets[at : at + 2]), *firsts[at : at + 2])
        if hurt:
            raise _Hurt
        return (Counted(len(batch), batch=batch) for batch in batches)

    def work(piece: tuple[int, int]) -> tuple[tuple[int, int], list[Tallied[R]] | None]:
        start, stop = piece[0], piece[1] + 1
        try:
            found = _counted(fast, descriptor, offsets[start:stop], firsts[start:stop], lambda at: decode(start + at))
            return piece, [Tallied.of(function, counted) for counted in found]
        except _Hurt:
            return piece, None

    few = last <= _MANY
    if not few:
        part_in_c("pickle")  # once, before there are processes that need it

    done = 0
    pieces = shares(0, last, _TOGETHER, small=few)
    for (_, stop), found in ordered_map(work, pieces, alone=None if few else 0, ahead=1):
        if found is None:
            break
        yield from found
        done = stop
        source.consumed = offsets[done]
    if done == last and (told is None or told <= table.events):
        return
    # Damage may go on behind a block, and is to be told once: from here on all is read in order.
    for batch in reader().rest(Extent(descriptor, offsets[done], size), firsts[done]):
        yield Tallied.of(function, Counted(len(batch), batch=batch))


def _counted(
    fast: ModuleType,
    descriptor: int,
    offsets: Sequence[int],
    firsts: Sequence[int],
    decode: Callable[[int], Iterator[Counted]],
) -> Iterator[Counted]:
    """The events of blocks that follow each other: block i lies at the bytes offsets[i]..offsets[i+1]-1, and has the
    events firsts[i]..firsts[i+1]-1, if it is what the index says. `decode` gives the batches of block i.
    """
    tally = BlockTally(fast)
    for at, block in read_blocks(descriptor, offsets):
        try:
            if len(block) != offsets[at + 1] - offsets[at]:
                raise Unfit
            tally.add(block, firsts[at], firsts[at + 1] - firsts[at])
        except Unfit:
            yield from tally.taken()
            yield from decode(at)
        if tally.full:
            yield from tally.taken()
    yield from tally.taken()


def read_blocks(descriptor: int, offsets: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Every block's number, and its bytes; block i lies at the bytes offsets[i]..offsets[i+1]-1."""
    at, last = 0, len(offsets) - 1
    while at < last:
        stop = at + 1
        while stop < last and offsets[stop + 1] - offsets[at] <= _AT_ONCE:
            stop += 1
        start = offsets[at]
        data = memoryview(os.pread(descriptor, min(offsets[stop] - start, _MOST), start))
        for number in range(at, stop):
            yield number, data[offsets[number] - start : offsets[number + 1] - start]
        at = stop
