"""The compiled engine against numpy's: the same columns, hashes, anchors and runs; and arguments that do not fit."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools import speed
from mmiotools.diff import anchors, lcs, moves, stretches
from mmiotools.diff.hunks import compare, differ
from mmiotools.diff.views import texts
from mmiotools.diff.views.base import Options
from mmiotools.events import Event, Kind
from mmiotools.trace import accesses as accesses_module
from mmiotools.trace import collect as collecting
from mmiotools.trace import hashing, matching
from mmiotools.trace.accesses import ALL_BITS, Accesses, accesses_of
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.collect import collect
from mmiotools.trace.header import Bar, PciDevice

FAST = speed.compiled.__wrapped__()
needs_engine = pytest.mark.skipif(FAST is None, reason="the compiled engine was not built")
USERS = (accesses_module, anchors, hashing, lcs, moves, stretches, texts, collecting, matching)


@contextlib.contextmanager
def engine(module: object) -> Iterator[None]:
    """All that asks for the compiled engine gets this one."""
    with pytest.MonkeyPatch.context() as patch:
        for user in USERS:
            patch.setattr(user, "compiled", lambda: module)
        yield


def both(function: Callable[[], Any]) -> tuple[Any, Any]:
    """What comes of something with either engine."""
    found = []
    for module in (FAST, None):
        with engine(module):
            found.append(function())
    return found[0], found[1]


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return all(alike(*pair) for pair in zip(ours, theirs, strict=True))
    return bool(ours == theirs)


CARD = PciDevice(0x18, 0x8086, 0x100E, bars=(Bar(0, 0x100000, 0x1000), Bar(1, 0x800000, 0x100)))
_ADDRESS = st.sampled_from([0x100000, 0x100004, 0x100FFF, 0x800000, 0x8000FF]) | st.sampled_from([0x101000, 0x3004])
_VALUE = st.integers(0, 3) | st.sampled_from([(1 << 64) - 1]) | st.none() | st.just(1 << 70)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Mostly accesses to the card; all else that there may be between them."""
    kind = draw(st.sampled_from([Kind.READ] * 4 + [Kind.WRITE] * 4 + [Kind.UNKNOWN, Kind.MAP, Kind.UNMAP, Kind.MARK]))
    if kind == Kind.MAP:
        return Event(kind, map=draw(st.integers(0, 2)), addr=0x3000, extra={"virt": 0, "length": 0x1000})
    if kind == Kind.UNMAP:
        return Event(kind, map=draw(st.integers(0, 2)))
    if kind == Kind.MARK:
        return Event(kind, extra={"text": b"x"})
    plain = draw(st.integers(0, 3))
    return Event(
        kind,
        width=draw(st.sampled_from([1, 2, 4, 8, 16] if plain else [4, None])),
        map=draw(st.integers(0, 2)),
        addr=draw(_ADDRESS if plain else _ADDRESS | st.none()),
        value=draw(st.integers(0, 3) if plain else _VALUE),
        region=draw(st.none() if plain else st.none() | st.just("elsewhere")),
        time=draw(st.none() if plain else st.none() | st.integers(0, 9)),
    )


_STREAMS = st.lists(st.lists(events(), min_size=1, max_size=12), max_size=6)


def stream(parts: list[list[Event]], described: int) -> list[Batch]:
    """A batch a part; the card is described in the one of this number."""
    regions = Regions()
    card = Event(Kind.DEVICE, extra=CARD.extra())
    return [Batch.from_events([card, *part] if at == described else part, regions) for at, part in enumerate(parts)]


@needs_engine
@given(_STREAMS, st.integers(0, 2), st.booleans())
def test_accesses_are_collected_alike(parts: list[list[Event]], described: int, pause: bool) -> None:
    def collected() -> Accesses:
        with pytest.MonkeyPatch.context() as patch:
            if pause:
                patch.setattr(collecting, "_ROWS", 8)
            return collect(iter(stream(parts, described)))

    ours, theirs = both(collected)
    for field in ours._fields:
        assert alike(getattr(ours, field), getattr(theirs, field)), field
    assert alike(ours.addresses(), theirs.addresses())
    plain = [event for part in parts for event in part if event.kind <= Kind.UNKNOWN]
    assert [access.address for access in ours.span(0, len(ours))] == [event.addr for event in plain]
    assert [access.value for access in ours.span(0, len(ours))] == [event.value for event in plain]


@needs_engine
def test_ordinary_batches_are_taken_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = [Event(Kind.READ, width=4, addr=0x100000 + at, value=at) for at in range(8)]
    batches = stream([[], ordinary, ordinary, [Event(Kind.UNKNOWN, addr=0x100000)], ordinary], 0)
    taken = []
    monkeypatch.setattr(collecting, "_ROWS", 1)

    class Watched:
        @staticmethod
        def take_accesses(*args: Any) -> int:
            taken.append(FAST.take_accesses(*args))
            return taken[-1]

    with engine(Watched):
        assert len(collect(iter(batches))) == 25
    assert taken == [8, 8, 8]


_ROWS = st.lists(
    st.tuples(
        st.sampled_from([Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
        st.sampled_from([1, 4, None]),
        st.sampled_from([("8086:100e", 0, "BAR0"), ("map", 0), ()]),
        st.integers(0, 2) | st.just((1 << 64) - 1),
        st.integers(0, 2) | st.none() | st.just((1 << 64) - 1),
    ),
    max_size=20,
)


@needs_engine
@given(st.lists(st.integers(0, 5000)), st.integers(1, 5000), st.booleans(), st.integers(0, 9))
def test_rows_that_are_alike_have_one_number(numbers: list[int], different: int, many: bool, base: int) -> None:
    numbers = [number % different for number in (numbers + list(range(different)) * many)]
    columns = [np.array([number % size for number in numbers], dtype) for dtype, size in _SPLIT]
    codes = np.full(len(numbers), -1, np.int32)
    seen: dict[tuple[int, ...], int] = {}
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    expected = [base + seen.setdefault(row, len(seen)) for row in rows]
    fresh = FAST.number_alike(len(numbers), tuple(columns), base, codes)
    assert (fresh, codes.tolist()) == (len(seen), expected)
    assert list(zip(*(column[:fresh].tolist() for column in columns), strict=True)) == list(seen)


#: Types of op, width, region, offset and value, and of how many numbers a test has in each.
_SPLIT = (("u1", 3), ("i2", 7), ("i4", 5), ("u8", 11), ("u8", 13))


@needs_engine
@given(_ROWS, st.data())
def test_accesses_are_hashed_and_compared_alike(rows: list[Any], data: st.DataObject) -> None:
    a = accesses_of(rows)
    keep = np.array([data.draw(st.sampled_from([0, 1, int(ALL_BITS)])) for _ in rows], np.uint64)
    for kept in (None, keep):
        ours, theirs = both(lambda kept=kept: a.keys(kept))
        assert alike(ours, theirs)
    changed = [data.draw(st.just(row) | _ROWS.map(lambda other, row=row: other[0] if other else row)) for row in rows]
    b = accesses_of(changed)
    everything = slice(0, len(rows))
    zero = np.zeros(1, np.int64)
    for kept in (None, keep):
        equal = matching.same(a, everything, b, everything, kept)
        with engine(FAST):
            assert matching.all_same(a, b, (zero, zero, zero + len(rows)), kept) == equal.all()
            single = np.arange(len(rows))
            some = single[equal]
            assert matching.all_same(a, b, (some, some, np.ones(len(some), np.int64)), kept)
    assert len(set(both(lambda: differ(a, b)))) == 1


_KEY = st.integers(0, 3) | st.integers(0, (1 << 64) - 1)
_KEYS = st.lists(_KEY, max_size=80).map(lambda row: np.array(row, np.uint64))


@needs_engine
@given(_KEYS, st.sampled_from([1, 2, 8, 32]), st.sampled_from([2, 8, 64]))
def test_stretches_are_sampled_alike(keys: Any, k: int, one_in: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchors, "_MORE", 1)
        ours, theirs = both(lambda: anchors.sampled_kgrams(keys, k, one_in))
    assert alike(ours, theirs)


@needs_engine
@given(_KEYS, _KEYS, st.data())
def test_stretches_are_compared_alike(a: Any, b: Any, data: st.DataObject) -> None:
    a, b = a % 4, b % 4
    gaps, runs = [], []
    at = 0
    while at < len(a) and len(b):
        size = data.draw(st.integers(1, min(len(a) - at, len(b))))
        there = data.draw(st.integers(0, len(b) - size))
        runs.append((at, size, there - at))
        gaps.append((at, at + size, there, data.draw(st.integers(there + 1, len(b)))))
        at += size
    columns = tuple(np.array(runs, np.int64).reshape(-1, 3).T)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "_LONG", 8)
        for shortest in (1, 4):
            ours, theirs = both(lambda shortest=shortest: stretches.equal_runs(a, b, columns, shortest))
            assert alike(ours, theirs)
    for end in (False, True):
        pending = np.array(gaps, np.int64).reshape(-1, 4)
        ours, theirs = both(lambda end=end, pending=pending: stretches.common_ends(a, b, pending, end))
        assert alike(ours, theirs)


@needs_engine
@given(_KEYS, st.lists(_KEY, max_size=5))
def test_rows_are_found_alike(keys: Any, wanted: list[int]) -> None:
    table = hashing.lowest_bits(wanted)
    for kept in (None, (keys % 3).astype(np.uint8), np.broadcast_to(np.uint8(1), len(keys))):
        ours, theirs = both(lambda kept=kept: hashing.rows_like(keys, table, kept))
        assert alike(ours, theirs)


@needs_engine
@given(_KEYS, _KEYS, st.integers(1, 5), st.integers(1, 40))
def test_pairs_are_alike(a: Any, b: Any, limit: int, letters: int) -> None:
    a, b = a % letters, b % letters
    ours, theirs = both(lambda: (anchors.ranked_pairs(a, b, limit), anchors.unique_pairs(a, b)))
    assert alike(ours, theirs)


@needs_engine
@given(_KEYS, _KEYS, st.integers(2, 40), st.sampled_from([1, 2, 4]), st.lists(st.integers(0, 60), max_size=8))
def test_blocks_that_moved_are_alike(a: Any, b: Any, letters: int, k: int, without: list[int]) -> None:
    def found() -> Any:
        left, right = (np.setdiff1d(np.arange(len(keys)), without[at:]) for at, keys in enumerate((a, b)))
        sides = moves.Left.of(left, a % letters), moves.Left.of(right, b % letters)
        blocks = [moves.block_moves(*sides, size) for size in (2 * k, k)]
        return (*blocks[0], *blocks[1], sides[0].free, sides[1].free)

    ours, theirs = both(found)
    assert alike(ours, theirs)


@needs_engine
@given(st.lists(events(), max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_lines_are_alike(rows: list[Event], cuts: list[int]) -> None:
    device = Event(Kind.DEVICE, extra=CARD.extra())
    side = collect(iter([Batch.from_events([device, *rows], Regions())]))
    ends = sorted(min(cut, len(side)) for cut in cuts)
    spans = [texts.Span(*pair, sign) for pair, sign in zip(itertools.pairwise(ends), " -+ -+ -", strict=False)]
    ours, theirs = both(lambda: list(texts.signed_texts(side, spans, Options())))
    assert ours == theirs
    assert len(ours) == sum(span.stop - span.start for span in spans)


@needs_engine
@given(_KEYS, _KEYS, st.integers(1, 5), st.integers(1, 3))
def test_subsequences_are_alike(a: Any, b: Any, letters: int, often: int) -> None:
    a, b = np.tile(a % letters, often), np.tile(b % letters, often)
    ours, theirs = both(lambda: lcs.small_subsequence(a, b))
    assert alike(ours, theirs)


@needs_engine
@given(_ROWS, _ROWS, _ROWS, st.integers(0, 3))
def test_hunks_are_alike(one: list[Any], two: list[Any], three: list[Any], often: int) -> None:
    a = accesses_of(one + two * often + three)
    b = accesses_of(two + one * often + three)
    ours, theirs = both(lambda: list(compare(a, b).hunks))
    assert ours == theirs


def u8(*numbers: int) -> Any:
    return np.array(numbers, np.uint8)


@needs_engine
def test_what_does_not_fit_is_refused() -> None:
    keys, out = np.zeros(8, np.uint64), np.zeros(1, np.int64)
    one = np.ones(1, np.int64)
    for start, count, shift in ((-1, 1, 0), (0, 9, 0), (8, 1, 0), (0, 1, -1), (0, 1, 8), (1, -1, 0), (0, 1, -1 << 63)):
        with pytest.raises(ValueError, match="outside"):
            FAST.equal_runs(keys, keys, 1, one * start, one * count, one * shift, 1, out, out, out)
        with pytest.raises((IndexError, ValueError)):
            sides = [c for c in (u8(0), np.zeros(1, np.int16), np.zeros(1, np.int32), keys[:1], keys[:1], u8(1))]
            runs = one * start, one * (start + shift), one * (count if count else -1)
            side = 0, tuple(sides), None
            FAST.same_runs(1, runs, side, side, np.zeros(1, np.int32), keys[:1])
    with pytest.raises(ValueError, match="no room"):
        FAST.equal_runs(keys, keys, 1, out, out + 1, out, 1, out[:0], out[:0], out[:0])
    for gap in ((-1, 1, 0, 1), (0, 9, 0, 1), (2, 1, 0, 1), (0, 1, 0, 9)):
        with pytest.raises(ValueError, match="outside"):
            FAST.common_ends(keys, keys, 1, np.array(gap), False, out)
    for count in (-1, 2, 1 << 62):
        with pytest.raises(ValueError):
            FAST.common_ends(keys, keys, count, np.zeros(4, np.int64), False, out)
    for size, codes, room, error in ((8, [8], 8, IndexError), (8, [-1], 8, IndexError), (3, [0], 8, ValueError)):
        with pytest.raises(error):
            FAST.look_up(keys, size, np.array(codes, np.int32), bytearray(room))
    with pytest.raises(ValueError):
        FAST.look_up(keys, 8, np.zeros(2, np.int32), bytearray(15))
    with pytest.raises(ValueError):
        FAST.rows_like(keys, u8(0), None, np.zeros(8, np.int64))
    with pytest.raises(ValueError):
        FAST.rows_like(keys, np.zeros(65536, np.uint8), u8(1, 1), np.zeros(8, np.int64))
    with pytest.raises(ValueError):
        FAST.rank_pairs(keys, keys, 0, np.zeros(8, np.int64), np.zeros(8, np.int64))
    with pytest.raises(ValueError):
        FAST.rank_pairs(keys, keys, 1, out, out)
    left = np.arange(8), keys, np.ones(8, np.uint8)
    for i, j, n in ((-1, 0, 1), (0, 8, 1), (0, 0, 9), (0, 0, -1), (1 << 62, 0, 1)):
        with pytest.raises(ValueError, match="outside"):
            FAST.grow_blocks(left, left, (one * i, one * j, one * n), 1)
    spelled = u8(0), np.zeros(1, np.int16), np.zeros(1, np.int32), keys[:1], keys[:1], u8(1)
    for start, stop, room in ((-1, 1, 99), (0, 2, 99), (1, 0, 99), (0, 1, 64)):
        with pytest.raises(ValueError):
            FAST.spell_accesses(1, (one * start, one * stop, b"-"), 1, spelled, b"BAR0", one * 4, bytearray(room))
    for size in (-1, 5):
        with pytest.raises(ValueError, match="name"):
            FAST.spell_accesses(1, (out, one, b"-"), 1, spelled, b"BAR0", one * size, bytearray(99))
    with pytest.raises(ValueError, match="no access"):
        FAST.spell_accesses(1, (out, one, b"-"), 1, (u8(3), *spelled[1:]), b"BAR0", one * 4, bytearray(99))
    with pytest.raises(ValueError):
        FAST.common_subsequence(keys, keys, out, out)
    for k, start in ((0, 0), (1, -1)):
        with pytest.raises(ValueError):
            FAST.sample_kgrams(keys, k, 3, 1, start, out, keys)
    columns = u8(0), np.zeros(1, np.int16), np.array([5], np.int32), keys[:1], keys[:1], u8(1)
    with pytest.raises(IndexError):
        FAST.hash_accesses(1, columns, keys[:1], keys[:1], keys)
    with pytest.raises(ValueError):
        FAST.hash_accesses(9, columns, keys[:1], keys[:1], keys)


def fuzz(engine: Any, rounds: int, seed: int) -> None:
    """Arguments of any length and with any numbers: under a sanitizer, see tests/formats/test_speed.py."""
    rng = random.Random(seed)

    def number() -> int:
        return rng.choice((0, 1, 2, 3, 7, 40, -1, 1 << 62, -1 << 63, (1 << 63) - 1))

    def column(dtype: str, length: int) -> Any:
        info = np.iinfo(dtype)
        return np.array([min(max(number(), info.min), info.max) for _ in range(length)], dtype)

    def some(dtype: str, length: int = 40) -> Any:
        return column(dtype, rng.choice((length, length, length, 0, 1, 3)))

    def accesses() -> Any:
        return tuple(some(dtype) for dtype in ("u1", "i2", "i4", "u8", "u8", "u1"))

    for _ in range(rounds):
        small = rng.choice((0, 1, 3, 40, 40, 40, number()))
        out = [some("i8") for _ in range(3)]
        batch = tuple(some(dtype) for dtype in ("u1", "u1", "u1", "u8", "u1", "u8", "u1"))
        table = np.sort(some("u8", 3)), some("i4", 3), some("u8", 3)
        taken = tuple(some(dtype, 80) for dtype in ("u1", "i2", "i4", "u8", "u8"))
        runs = some("i8", 3) % 20, some("i8", 3) % 20, some("i8", 3)
        few, at, keys = rng.choice((3, 1, number())), rng.choice((0, 40, number())), (some("u8"), some("u8"))
        codes = [rng.choice((None, some("i4"), some("i4") % 40)) for _ in range(2)]
        sides = [(small, accesses(), of) for of in rng.choice((codes, codes[:1] * 2, codes[1:] * 2))]
        room = bytearray(rng.choice((0, 99, 9999)))
        calls: tuple[tuple[Any, ...], ...] = (
            (engine.take_accesses, small, few, batch, table, at, taken),
            (engine.hash_accesses, small, accesses(), some("u8"), some("u8", 3), some("u8")),
            (engine.same_runs, few, runs, *sides, some("i4", 3), some("u8")),
            (engine.sample_kgrams, keys[0], rng.choice((1, 8, number())), 3, few & (1 << 63) - 1, at, *out[:2]),
            (engine.equal_runs, *keys, few, *runs, number(), *out),
            (engine.look_up, batch[3], rng.choice((1, 2, 4, 8, number())), some("i4") % 40, some("u8")),
            (engine.look_up, batch[3], 8, some("i4"), some("u8")),
            (engine.number_alike, small, taken, rng.choice((0, 7, number())), some("i4", 80)),
            (engine.rows_like, keys[0], some("u1", 65536) if few == 3 else some("u1"), some("u1"), some("i8")),
            (engine.rank_pairs, *keys, rng.choice((1, 3, 40)), *out[:2]),
            (engine.grow_blocks, *((some("i8"), key, some("u1")) for key in keys), runs, rng.choice((1, 3, 40))),
            (engine.spell_accesses, few, (*runs[:2], some("u1", 3)), small, accesses(), bytes(9), some("i8", 3), room),
            (engine.common_subsequence, *keys, some("i8"), some("i8")),
            (engine.common_ends, *keys, few, some("i8", 12) % 50, rng.random() < 0.5, some("i8", 3)),
        )
        for function, *arguments in calls:
            with contextlib.suppress(ValueError, IndexError):
                function(*arguments)
