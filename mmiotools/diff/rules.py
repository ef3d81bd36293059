"""Cautious rules about what is no work of the driver, for when there is no other run to learn from.

Each looks at differences that nothing has explained yet and says of which it is sure. All can be switched off by name.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.floating import LONGEST_ROUND
from mmiotools.diff.pairing import Pairing
from mmiotools.diff.pairs import runs
from mmiotools.diff.runs import ranges
from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import among, distinct, first_of_each, flatnonzero
from mmiotools.trace.hashing import lowest_bits, rows_like
from mmiotools.typed import Callable, Iterable, Iterator, NamedTuple, NDArray, Record, TypeAlias

Indexes = NDArray[np.int64]
Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]
#: A byte of a device: identity of its region, and offset.
Byte: TypeAlias = tuple[object, int]

#: A poll loop goes round at least so often on the side where it is longer, and so often on the other one.
_POLLS, _POLLS_LEFT = 4, 2
#: Accesses that are looked at on either side of what may be rounds of a loop.
_WINDOW = 64
#: A register that counts is written so often, and once more.
_COUNTS = 4
#: So many values that differ, none of them the beginning of a page, are as good as one that is.
_MANY_ADDRESSES = 4
#: Registers of a block, and how often both sides go through it.
_SHORTEST_BLOCK, _LONGEST_BLOCK, _AGAIN = 4, 64, 4
#: Accesses that are searched at a time.
_CHUNK = 1 << 15
_PAGE_SHIFT = 12
_PAGE = 1 << _PAGE_SHIFT
#: Addresses in memory: page aligned, above the first MiB, of at most 48 bits.
_LOWEST_ADDRESS, _HIGHEST_ADDRESS = 0x100000, 1 << 48


class Open(Record):
    """Two recordings, and what differs between them that nothing explains so far. Rows ascend; of pairs in A.

    found            how the two are paired
    changed, moved   pairs of rows
    free_a, free_b   rows of A and of B that are in no pair
    """

    a: Accesses
    b: Accesses
    found: Pairing
    changed: tuple[Indexes, Indexes]
    moved: tuple[Indexes, Indexes]
    free_a: Indexes
    free_b: Indexes

    @classmethod
    def of(cls, a: Accesses, b: Accesses, found: Pairing) -> Open:
        """All that differs."""
        return cls(a, b, found, found.changed.pairs(), found.moved, *found.free(len(a), len(b)))

    def __bool__(self) -> bool:
        return any(map(len, (self.changed[0], self.moved[0], self.free_a, self.free_b)))

    def without(self, why_a: NDArray[np.int32], why_b: NDArray[np.int32]) -> Open:
        """What has no reason yet, of A and of B, (n,) and (m,); 0 is none."""
        changed, moved = why_a[self.changed[0]] == 0, why_a[self.moved[0]] == 0
        return Open(
            self.a,
            self.b,
            self.found,
            (self.changed[0][changed], self.changed[1][changed]),
            (self.moved[0][moved], self.moved[1][moved]),
            self.free_a[why_a[self.free_a] == 0],
            self.free_b[why_b[self.free_b] == 0],
        )


#: What a rule explains: rows of A and of B. Of pairs the row of A.
Explained: TypeAlias = tuple[Indexes, Indexes]

_NONE = np.zeros(0, np.int64)


class Rule(NamedTuple):
    """A rule: name, one line about it, the reason it gives, and the function that applies it."""

    name: str
    title: str
    why: str
    apply: Callable[[Open], Explained]


def poll_length(it: Open) -> Explained:
    """Rounds, of reads alone, that a loop went round more on one side; what it read is the same in every round."""
    explained = []
    for side, keys, free in ((it.a, it.found.keys_a, it.free_a), (it.b, it.found.keys_b, it.free_b)):
        rows = [_NONE]
        starts, stops = _perhaps_rounds(keys, *_of_reads(side, free))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            rounds = _rounds(keys, start, stop)
            # Enough on both sides to see that it goes round often.
            if rounds is not None and rounds[1] >= _POLLS_LEFT and sum(rounds) >= _POLLS:
                rows.append(np.arange(start, stop))
        explained.append(np.concatenate(rows))
    return explained[0], explained[1]


def _of_reads(side: Accesses, rows: Indexes) -> tuple[Indexes, Indexes]:
    """Runs of consecutive rows that are reads alone: from and to."""
    starts, stops = runs(rows)
    others = np.concatenate((np.zeros(1, np.int64), np.cumsum(side.picked(rows, "op")[0] != Kind.READ)))
    ends = np.cumsum(stops - starts)
    reads = others[ends] == others[ends - (stops - starts)]
    return starts[reads], stops[reads]


def _perhaps_rounds(keys: Keys, starts: Indexes, stops: Indexes) -> tuple[Indexes, Indexes]:
    """Those runs of keys that could be rounds of a loop that goes on before them or behind: there is one like their
    first before them, or one like their last behind them. Of a run of one key there are so many next to it.
    """
    found = np.zeros(len(starts), np.bool_)
    beside = np.zeros(len(starts), np.int64)
    for ends, sign in ((starts - 1, -1), (stops, 1)):
        own = keys[ends - sign]
        unbroken = np.ones(len(starts), np.bool_)
        for ahead in range(LONGEST_ROUND):
            place = ends + sign * ahead
            inside = (place >= 0) & (place < len(keys))
            like = inside & (keys[np.where(inside, place, 0)] == own)
            found |= like
            unbroken &= like
            beside += unbroken
    found &= (stops - starts > 1) | (beside >= max(_POLLS - 1, _POLLS_LEFT))
    return starts[found], stops[found]


def _rounds(keys: Keys, start: int, stop: int) -> tuple[int, int] | None:
    """Of the loop that keys[start:stop] are whole rounds of: how many these are, and how many are beside them, of which
    there has to be one. None if there is no such loop.
    """
    for size in range(1, min(LONGEST_ROUND, stop - start) + 1):
        if (stop - start) % size or not bool((keys[start + size : stop] == keys[start : stop - size]).all()):
            continue
        low, high = max(0, start - _WINDOW), min(stop + _WINDOW, len(keys))
        before = keys[low:start] == keys[low + size : start + size]
        behind = keys[stop:high] == keys[stop - size : high - size]
        beside = _leading(before[::-1]) + _leading(behind)
        return ((stop - start) // size, beside // size) if beside >= size else None
    return None


def _leading(mask: Mask) -> int:
    """How many are true before the first that is not."""
    return len(mask) if mask.all() else int(np.argmin(mask))


def ring_address(it: Open) -> Explained:
    """Addresses in memory that differ but behave alike.

    What tells them are registers that both sides write, with page-aligned values alone, or such and others in the
    same pages, or many: each page of A always stands where a certain one of B does, and no other is ever written. The
    pages that are known from these are known in all registers. What is explained are addresses at the same place of
    such pages.
    """
    a, b = it.a, it.b
    rows, rows_b = it.changed
    (old, has_value), (new,) = a.picked(rows, "value", "has_value"), b.picked(rows_b, "value")
    rows = rows[_likely(old, new) & has_value]
    if not len(rows):
        return _NONE, _NONE
    mates = it.found.chain().partner(len(a))
    places_a, places_b = a.place_keys(), b.place_keys()
    pages: dict[int, int] = {}
    for place in distinct(places_a[rows]).tolist():
        own, other = places_a == place, places_b == place
        written_a, written_b = flatnonzero(own & (a.op == Kind.WRITE)), flatnonzero(other & (b.op == Kind.WRITE))
        known = flatnonzero(own & (mates >= 0))
        couples = _page_couples(a.value[known], b.value[mates[known]])
        if couples is None or not among(written_a, known).any():
            continue
        # What one side writes more often lies in the same pages.
        if not (_in_pages(a.value[written_a], couples.keys()) and _in_pages(b.value[written_b], couples.values())):
            continue
        if all(pages.get(old, new) == new for old, new in couples.items()):
            pages.update(couples)
    if len(set(pages.values())) < len(pages) or not any((old ^ new).bit_count() > 1 for old, new in pages.items()):
        # One bit of one value that differs may as well be a flag.
        return _NONE, _NONE
    old, new = a.value[rows], b.value[mates[rows]]
    pages[0] = 0
    moved = np.array([pages.get(int(value) >> _PAGE_SHIFT, -1) for value in old.tolist()], np.int64)
    alike = (moved == (new >> np.uint64(_PAGE_SHIFT)).astype(np.int64)) & ((old ^ new) % np.uint64(_PAGE) == 0)
    return rows[alike], _NONE


def _likely(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> Mask:
    """Could these be one address in two runs?"""
    lowest, highest = np.minimum(old, new), np.maximum(old, new)
    alike = (old ^ new) % np.uint64(_PAGE) == 0
    return np.asarray(alike & (lowest >= _LOWEST_ADDRESS) & (highest < _HIGHEST_ADDRESS), np.bool_)


def _in_pages(values: NDArray[np.uint64], pages: Iterable[int]) -> bool:
    some = values[values != 0] >> np.uint64(_PAGE_SHIFT)
    return bool(among(some, np.array(sorted(pages), np.uint64)).all())


def _page_couples(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> dict[int, int] | None:
    """Pages of A with the pages of B that stand for them; None where the values are no such addresses."""
    some = (old != 0) | (new != 0)
    old, new = old[some], new[some]
    both = np.concatenate((old, new))
    if not len(old) or (both < _LOWEST_ADDRESS).any() or (both >= _HIGHEST_ADDRESS).any():
        return None
    # A pointer into a ring may be elsewhere in its page, where more or less has happened.
    alike = (old ^ new) % np.uint64(_PAGE) == 0
    if not alike[0] or ((old[alike] % np.uint64(_PAGE)).all() and len(distinct(old[alike])) < _MANY_ADDRESSES):
        return None
    shift = np.uint64(_PAGE_SHIFT)
    couples = set(zip((old >> shift).tolist(), (new >> shift).tolist(), strict=True))
    pages = dict(couples)
    return pages if len(couples) == len(pages) == len(set(pages.values())) else None


def read_value(it: Open) -> Explained:
    """Reads in the same place that gave another value, of registers that neither side ever writes: the device's
    answer, not what the driver did.
    """
    rows = it.changed[0]
    rows = rows[it.a.picked(rows, "op")[0] == Kind.READ]
    if not len(rows):
        return _NONE, _NONE
    first, register = first_of_each(it.a.register_keys(rows))
    read = [set(_bytes(it.a, row)) for row in rows[first].tolist()]
    everything = set().union(*read)
    written = _written(it.a, everything) | _written(it.b, everything)
    return rows[np.array([written.isdisjoint(places) for places in read])[register]], _NONE


def _written(side: Accesses, places: set[Byte]) -> set[Byte]:
    """Which of these bytes are written (or may be, by accesses of unknown kind)."""
    _, side = side.lookup()
    left, found = set(places), set[Byte]()
    # An access that begins up to its width before a byte may reach it.
    reach = range(max(1, int(side.width.max(initial=1))))
    fresh = True
    for low in range(0, len(side), _CHUNK):
        if fresh:
            offsets = np.array(sorted({offset for _, offset in left}), np.uint64)
            table = lowest_bits([int(offset) - ahead for offset in offsets for ahead in reach])
        part = slice(low, low + _CHUNK)
        # A read is the 0 among the kinds.
        rows = low + rows_like(side.offset[part], table, side.op[part])
        rows = rows[_reaches(side.offset[rows], side.width[rows], offsets)]
        if not len(rows):
            fresh = False
            continue
        some, _ = first_of_each(side.register_keys(rows))
        found |= left.intersection(*[{place for row in rows[some].tolist() for place in _bytes(side, row)}])
        left -= found
        fresh = True
        if not left:
            break
    return found


def _reaches(offset: NDArray[np.uint64], width: NDArray[np.int16], ordered: NDArray[np.uint64]) -> Mask:
    """Which accesses touch any of these bytes, which ascend, (n,)."""
    at = np.searchsorted(ordered, offset)
    inside = at < len(ordered)
    at[~inside] = 0
    return np.asarray(inside & (ordered[at] - offset < np.maximum(width, 1).astype(np.uint64)), np.bool_)


def _bytes(side: Accesses, row: int) -> Iterator[Byte]:
    access = side.access(row)
    for n in range(access.width or 1):
        yield access.identity, access.offset + n


def repeated_block(it: Open) -> Explained:
    """A block that both sides go through again and again, as often on the one as on the other, but once in another
    place: the service of an interrupt, most likely. What it writes to a register that counts is no part of it.
    """
    ends = [
        _blocks(np.sort(np.concatenate(loose))) for loose in ((it.free_a, it.moved[0]), (it.free_b, it.moved[1]))
    ]
    if not all(len(start) for start, _ in ends):
        return _NONE, _NONE
    rows = [ranges(start, stop - start) for start, stop in ends]
    own, other = _counters(it.a, rows[0]), _counters(it.b, rows[1])
    counters = own[among(own, other)]
    sides = [it.found.keys_a, it.found.keys_b]
    if len(counters):
        registers = it.a.register_keys(), it.b.register_keys()
        sides = [np.where(among(own, counters), own, keys) for own, keys in zip(registers, sides, strict=True)]
    places: dict[tuple[int, ...], tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
    for number, (keys, (starts, stops)) in enumerate(zip(sides, ends, strict=True)):
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            run = keys[start:stop].tolist()
            # Where it repeats itself it can be taken to begin anywhere.
            block = min(tuple(run[at:] + run[:at]) for at in range(len(run)))
            places.setdefault(block, ([], []))[number].append((start, stop))
    explained: tuple[list[Indexes], list[Indexes]] = ([_NONE], [_NONE])
    for gone, come in places.values():
        if len(gone) != len(come):
            continue
        shapes = [sides[0][start:stop] for start, stop in gone] + [sides[1][start:stop] for start, stop in come]
        if all(any(recurs(keys, shape, _AGAIN) for shape in shapes) for keys in sides):
            for rows, stretches in zip(explained, (gone, come), strict=True):
                rows.extend(np.arange(start, stop) for start, stop in stretches)
    return np.concatenate(explained[0]), np.concatenate(explained[1])


def _blocks(rows: Indexes) -> tuple[Indexes, Indexes]:
    """From and to of the runs that have the length of a block."""
    starts, stops = runs(rows)
    fit = (stops - starts >= _SHORTEST_BLOCK) & (stops - starts <= _LONGEST_BLOCK)
    return starts[fit], stops[fit]


def _counters(side: Accesses, rows: Indexes) -> Keys:
    """Of the registers that are written in these rows, those to which one more is written from time to time."""
    written = rows[side.picked(rows, "op")[0] == Kind.WRITE]
    wanted = distinct(side.register_keys(written))
    if not len(wanted):
        return wanted
    perhaps = rows_like(side.offset, lowest_bits(distinct(side.picked(written, "offset")[0]).tolist()))
    registers = side.register_keys(perhaps)
    here = among(registers, wanted)
    mine, at = perhaps[here], np.searchsorted(wanted, registers[here])
    order = np.argsort(at, kind="stable")
    code, value = at[order], side.value[mine][order]
    alike = code[1:] == code[:-1]
    steps = np.bincount(code[1:][alike], minlength=len(wanted))
    ones = np.bincount(code[1:][alike & (value[1:] - value[:-1] == 1)], minlength=len(wanted))
    return wanted[(steps >= _COUNTS) & (4 * ones >= 3 * steps)]


def recurs(keys: Keys, run: Keys, times: int) -> bool:
    """Is a run of keys so often in a recording? Occurrences may overlap."""
    found = 0
    last = len(keys) - len(run) + 1
    for low in range(0, last, _CHUNK):
        places = low + flatnonzero(keys[low : min(low + _CHUNK, last)] == run[0])
        for ahead, key in enumerate(run):
            places = places[keys[places + ahead] == key]
        found += len(places)
        if found >= times:
            return True
    return False


RULES = (
    Rule("poll-length", "A loop of reads went round more or less often.", "a poll loop of another length", poll_length),
    Rule(
        "ring-address",
        "Page-aligned values in registers that hold nothing else differ, but behave alike.",
        "an address in memory, another one in each run",
        ring_address,
    ),
    Rule(
        "read-value",
        "A read gave another value, of a register that the driver never writes.",
        "the device answered otherwise",
        read_value,
    ),
    Rule(
        "repeated-block",
        "A block of accesses that both go through many times, equally often, came once in another place.",
        "a repeated block in another place",
        repeated_block,
    ),
)


def check_rules(names: tuple[str, ...]) -> None:
    """Nothing, or UsageError when a name is no rule's."""
    for name in names:
        if name not in {rule.name for rule in RULES}:
            raise UsageError(f"no rule is called '{name}'; see: mmiotools list rules")
