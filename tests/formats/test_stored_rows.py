"""Rows of stored columns in the compiled engine: what it is given may be anything."""

from __future__ import annotations

import random
from array import array
from typing import Any

import numpy as np
import pytest

from mmiotools.formats.native_planes import split, zigzag
from mmiotools.speed import compiled

needs_engine = pytest.mark.skipif(compiled() is None, reason="the compiled engine was not built")


def stored(numbers: list[int | None], signed: bool, coded: bool) -> tuple[Any, ...]:
    """A column of numbers, None for a row without, as formats/native_stored.py gives it."""
    there = [number for number in numbers if number is not None]
    bits = np.packbits([number is not None for number in numbers], bitorder="little").tobytes()
    column = np.array(there, np.int64 if signed else np.uint64)
    plain = zigzag(column) if signed else column
    words = None
    if coded:
        words, plain = np.unique(plain, return_inverse=True)
        plain = plain.astype(np.uint64)
    planes = [bytes(plane) for plane in split(plain)]
    return (-64 if signed else 64, int(signed), planes, words, bits if len(there) < len(numbers) else None, None)


@needs_engine
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
def test_numbers_come_back(signed: bool, coded: bool, gaps: bool) -> None:
    fast, rng = compiled(), random.Random(3)
    assert fast is not None
    for n in (1, 7, 63, 64, 65, 200):
        low = -(2**40) if signed else 0
        some = [rng.choice((low, 5, 2 ** rng.randrange(1, 63))) for _ in range(n)]
        numbers = [None if gaps and rng.random() < 0.3 else number for number in some]
        column = stored(numbers, signed, coded)
        rows = array("i", sorted(rng.sample(range(n), n // 2)))
        for wanted, which in ((None, range(n)), (rows, rows)):
            found, has = memoryview(bytearray(8 * len(which))), bytearray(len(which))
            fast.unpack_rows(n, column, wanted, len(which), found, has)
            got = [number if there else None for number, there in zip(found.cast("q"), has, strict=True)]
            assert got == [numbers[row] for row in which]


@needs_engine
def test_what_makes_no_sense_is_refused() -> None:
    fast = compiled()
    assert fast is not None
    column, rows, room = (64, 0, [b"\0" * 4], None, None, None), array("i", [0] * 4), bytearray(700)
    some = array("Q", [0])
    for steps in ([], [0], [(0, 0, 0, some, some)] * 2, [(1, 0, 0, some, some)], [(0, 0, 0, some, b"")], [7], ["x"]):
        with pytest.raises((ValueError, TypeError)):
            fast.pick_rows(4, (column,), steps, None, rows)
    nine = [b"\0" * 4] * 9
    for bad in ((8, 0, [b""], None, None, None), (7, 0, 1, None, None, None), (64, 0, nine, None, None, None)):
        with pytest.raises(ValueError):
            fast.unpack_rows(4, bad, None, 4, room, room)
    for order in ([1, 1], [2, 1], [-1, 0], [3, 4]):
        with pytest.raises(ValueError):
            fast.unpack_rows(4, column, array("i", order), 2, room, bytearray(9))
    with pytest.raises(ValueError):
        fast.unpack_rows(4, (64, 0, [b"\1" * 4], some, None, None), None, 4, bytearray(32), bytearray(4))


def fuzz(engine: Any, rounds: int, seed: int) -> None:
    """Columns, expressions and rows of any kind: under a sanitizer, see test_speed.py."""
    rng = random.Random(seed)

    def count() -> int:
        return rng.choice((0, 1, 40, 40, 40, 41, 70_000, -1, 1 << 62))

    def room(size: int = 8) -> bytearray:
        return bytearray(size * rng.choice((0, 1, 39, 40, 40, 40, 80)))

    def words() -> array[int]:
        return array("Q", [rng.choice((0, 1, 39, 1 << 63)) for _ in range(rng.choice((0, 1, 4, 9)))])

    def column() -> Any:
        bits = rng.choice((8, 8, 64, -64, -64, -32, 7, 0))
        planes: Any = [rng.randbytes(rng.choice((40, 40, 40, 20, 0))) for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 9)))]
        if rng.random() < 0.2:
            planes = rng.choice((0, -1, 5, 1 << 63, None))
        bitmap = rng.choice((None, None, rng.randbytes(5), b"\xff" * 5, rng.randbytes(2)))
        steps = rng.choice((None, None, (rng.getrandbits(63), 1000, words()), (0, 1), 3))
        return rng.choice((None, (bits, rng.randrange(2), planes, rng.choice((None, words())), bitmap, steps), 4))

    def step() -> Any:
        leaf = (rng.randrange(-1, 3), rng.getrandbits(64), rng.choice((0, 1 << 63)), words(), words())
        return rng.choice((0, 1, 2, 3, leaf, leaf, leaf))

    def rows() -> Any:
        ascending = sorted(rng.sample(range(41), 20))
        return rng.choice((None, array("i", ascending), array("i", [rng.randrange(-2, 50)] * 20)))

    for _ in range(rounds):
        columns = tuple(column() for _ in range(9))
        for call in (
            lambda columns=columns: engine.pick_rows(
                count(), columns[: rng.randrange(10)], [step() for _ in range(rng.randrange(6))], room(1), room(4)
            ),
            lambda columns=columns: engine.unpack_rows(count(), columns[0], rows(), 20, room(), room(1)),
            lambda columns=columns: engine.unpack_rows(40, columns[0], None, 40, room(), room(1)),
            lambda columns=columns: engine.print_picked(40, rows(), rng.choice((20, 40)), columns, room(160)),
            lambda columns=columns: engine.rows_within(count(), columns[0], columns[1], -5, 1 << 62, 1, room(1)),
        ):
            try:
                call()
            except (ValueError, TypeError, OverflowError):
                pass


@needs_engine
def test_anything_is_refused_or_done() -> None:
    fuzz(compiled(), 500, 7)
