"""Blocks of accesses that come and go, or come earlier or later, from run to run: what interrupts and timers do.

A block is a tuple of keys. What a run has more or less, or elsewhere, is explained when it is made of whole blocks
that were seen to do that; longer stretches also when what lies between such blocks is repeated work.
"""

from __future__ import annotations

from collections import defaultdict

from mmiotools.typed import Callable, Sequence

Block = tuple[int, ...]
#: Whether a stretch of `STRETCH` keys is one that is repeated.
Repeated = Callable[[Block], bool]
#: Whether all from one place to another is a block that both recordings have again and again.
Occurs = Callable[[int, int], bool]

#: Keys that make a stretch.
STRETCH = 4
#: Shorter blocks can stand only where something was seen to vary.
SHORT = 3
#: A run of accesses can be taken to begin a few places earlier or later where it repeats itself; how many are tried.
_SLIDES = 64
#: Longest round of a loop.
LONGEST_ROUND = 8
#: Longer runs are not looked into, and shorter ones than that are tried wherever they may begin.
_LONGEST, _TURNED = 1 << 16, 1 << 10
#: So many blocks are remembered; what is as restless as that cannot be told apart anyway.
_MOST = 1 << 14


class Blocks:
    """The blocks that float."""

    def __init__(self) -> None:
        self._blocks: set[Block] = set()
        self._by_first: dict[int, list[Block]] = defaultdict(list)
        #: Rounds of loops, each with the key that stands before the loop (-1 at the beginning).
        self._loops: set[tuple[int, Block]] = set()
        self._starts: set[int] = set()
        self._stretches: set[Block] = set()
        self._ends: set[int] = set()
        #: Blocks as they were added, without the places where they might begin as well.
        self.added: dict[Block, None] = {}
        #: Keys that were seen to come, go or move.
        self.restless: set[int] = set()

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, keys: Sequence[int], start: int, stop: int) -> None:
        """keys[start:stop] were more, less or elsewhere in one run than in another."""
        if stop - start > _LONGEST:
            return
        self.added.setdefault(tuple(keys[start:stop]))
        for low, high in slides(keys, start, stop):
            self.add_block(tuple(keys[low:high]))
        loop = loop_around(keys, start, stop)
        if loop is not None:
            self._loops.add(loop)

    def add_block(self, block: Block) -> None:
        """A block that floats."""
        if block in self._blocks or len(self._blocks) >= _MOST:
            return
        self._blocks.add(block)
        self._by_first[block[0]].append(block)
        self._starts.add(block[0])
        self._ends.add(block[-1])
        self.restless.update(block)
        self._stretches.update(block[at : at + STRETCH] for at in range(len(block) - STRETCH + 1))

    def explain(
        self, keys: Sequence[int], start: int, stop: int, near: bool, repeated: Repeated, occurs: Occurs
    ) -> str:
        """Why keys[start:stop] may be more, less or elsewhere; "" if nothing tells.

        near       something was seen to vary about there
        repeated   whether a stretch is one that is repeated
        occurs     whether a whole run stands in both recordings again and again
        """
        if stop - start > _LONGEST:
            return ""
        if loop_around(keys, start, stop) in self._loops:
            return "a loop whose length varies from run to run"
        places = slides(keys, start, stop) if stop - start <= _TURNED else [(start, stop)]
        for low, high in places:
            why = self._explain(tuple(keys[low:high]), near, repeated)
            if why:
                return why
        if near and stop - start >= STRETCH and occurs(start, stop):
            return "a block that both repeat, among others that come at other times"
        return ""

    def encloses(self, keys: Sequence[int], start: int, stop: int) -> bool:
        """Does keys[start:stop], or the same taken to begin elsewhere, begin and end as blocks do, with a whole block
        in it?
        """
        if stop - start > _LONGEST:
            return False
        for low, high in slides(keys, start, stop):
            if keys[low] in self._starts and keys[high - 1] in self._ends:
                run = tuple(keys[low:high])
                return any(
                    len(block) >= SHORT and run[at : at + len(block)] == block
                    for at, key in enumerate(run)
                    for block in self._by_first.get(key, ())
                )
        return False

    def _explain(self, run: Block, near: bool, repeated: Repeated) -> str:
        if run in self._blocks:
            return "comes at other times in other runs" if near or len(run) >= SHORT else ""
        if len(run) < SHORT:
            return ""
        stretches = self._cost(run, repeated)
        if stretches == 0:
            return "blocks that come at other times in other runs"
        if stretches > 0 and near and run[0] in self._starts and run[-1] in self._ends:
            return "repeated work between blocks that come at other times in other runs"
        return ""

    def _cost(self, run: Block, repeated: Repeated) -> int:
        """The least number of repeated stretches that fill what blocks leave free; -1 if it can't be filled, or if
        there is no block in it.
        """
        far = len(run) + 1
        best = [far] * (len(run) + 1)
        best[0] = 0
        some = False
        least = far  # to get to where the repeated stretch that ends here can have begun
        for at in range(len(run) + 1):
            stretch = run[at - STRETCH : at] if at >= STRETCH else ()
            if stretch and (stretch in self._stretches or repeated(stretch)):
                least = min(least, best[at - STRETCH])
                best[at] = min(best[at], least + 1)
            else:
                least = far
            if best[at] >= far or at == len(run):
                continue
            for block in self._by_first.get(run[at], ()):
                end = at + len(block)
                if len(block) >= SHORT and run[at:end] == block:
                    best[end], some = min(best[at], best[end]), True
        return best[-1] if best[-1] < far and some else -1


def slides(keys: Sequence[int], start: int, stop: int) -> list[tuple[int, int]]:
    """Places (from, to) that a run may as well be taken to stand at, its own first: `x [y x] y` is also `[x y] x y`."""
    found = [(start, stop)]
    low, high = start, stop
    while low > 0 and keys[low - 1] == keys[high - 1] and len(found) < _SLIDES:
        low, high = low - 1, high - 1
        found.append((low, high))
    low, high = start, stop
    while high < len(keys) and keys[low] == keys[high] and len(found) < 2 * _SLIDES:
        low, high = low + 1, high + 1
        found.append((low, high))
    return found


def loop_around(keys: Sequence[int], start: int, stop: int) -> tuple[int, Block] | None:
    """The loop that keys[start:stop] are whole rounds of, of which there is at least one more beside them: the key
    before the loop (-1 at the beginning), and its round, begun where it starts. None if there is no such loop.
    """
    for size in range(1, min(LONGEST_ROUND, stop - start) + 1):
        if (stop - start) % size:
            continue
        if keys[start + size : stop] != keys[start : stop - size]:
            continue
        low, high = start, stop
        while low > 0 and keys[low - 1] == keys[low - 1 + size]:
            low -= 1
        while high < len(keys) and keys[high] == keys[high - size]:
            high += 1
        if high - low - (stop - start) < size:
            return None
        return (keys[low - 1] if low else -1), tuple(keys[low : low + size])
    return None
