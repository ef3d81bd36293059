"""A driver's accesses as a recording has them, and with some of them left out or made twice."""

from __future__ import annotations

import random

from mmiotools.models.stream import READ, WRITE, Stream
from mmiotools.typed import Iterator, NamedTuple


class Step(NamedTuple):
    """One access of the driver: `counts` says whether it is a read whose right answer is known."""

    register: int
    op: int
    value: int | None
    counts: bool


def steps(stream: Stream) -> Iterator[Step]:
    """A recording as it is."""
    for register, op, value in stream.steps():
        yield Step(register, op, value, op == READ and value is not None)


def perturbed(stream: Stream, rate: float, seed: int) -> Iterator[Step]:
    """A recording of which a share `rate` of all accesses is left out or made twice, as often the one as the other.

    The second of two reads counts for nothing, since no recording says what it would have given; nor do reads of a
    register whose last write was left out, up to its next write.
    """
    chance = random.Random(seed)
    lost: set[int] = set()
    for register, op, value in stream.steps():
        draw = chance.random()
        if draw < rate / 2:
            if op == WRITE:
                lost.add(register)
            continue
        if op == WRITE:
            lost.discard(register)
        yield Step(register, op, value, op == READ and value is not None and register not in lost)
        if draw < rate:
            yield Step(register, op, value, False)
