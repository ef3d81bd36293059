"""Small recordings for the tests of diff, and a patch that knows nothing of how diff works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from hypothesis import strategies as st

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.events import Event, Kind
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import collect

MAP = Event(Kind.MAP, map=1, addr=0x1000, extra={"virt": 0, "length": 0x1000})
KINDS = {"R": Kind.READ, "W": Kind.WRITE, "U": Kind.UNKNOWN}


def recording(rows: Iterable[tuple[str, int, int | None]], width: int = 4) -> Accesses:
    """Accesses from (operation, offset, value)."""
    events = [Event(KINDS[op], width=width, map=1, addr=0x1000 + offset, value=value) for op, offset, value in rows]
    return collect(iter([Batch.from_events([MAP, *events])]))


def writes(text: str) -> Accesses:
    """One write a letter: the letter is the register, an upper-case one stands for another value."""
    return recording(("W", ord(letter.lower()) - 96, int(letter.isupper())) for letter in text)


def keys(accesses: Accesses) -> list[tuple[object, ...]]:
    return [access.key for access in accesses.span(0, len(accesses))]


def patched(comparison: Comparison, hunks: Iterable[Hunk]) -> list[tuple[object, ...]]:
    """A with the hunks applied: what A loses is taken out, what B gained is put at its index, the rest fills up."""
    hunks = list(hunks)
    lost = [index for hunk in hunks for index in hunk.a]
    gained = [index for hunk in hunks for index in hunk.b]
    assert len(set(lost)) == len(lost) and len(set(gained)) == len(gained), "an access is in two hunks"
    a = keys(comparison.a)
    rest = iter([key for index, key in enumerate(a) if index not in set(lost)])
    new = {index: comparison.b.access(index).key for index in gained}
    size = len(a) - len(lost) + len(gained)
    result = [new[index] if index in new else next(rest) for index in range(size)]
    assert next(rest, None) is None
    return result


def shape(hunks: Iterable[Hunk]) -> list[tuple[str, Sequence[int], Sequence[int]]]:
    return [(hunk.kind, list(hunk.a), list(hunk.b)) for hunk in hunks]


def with_volatile(comparison: Comparison, which: Callable[[Hunk], bool], reason: str = "a counter") -> Comparison:
    """The same comparison, some of its hunks volatile."""

    why = np.array([which(hunk) for hunk in comparison.hunks], np.int32)
    return comparison._replace(hunks=comparison.hunks._replace(why=why, reasons=("", reason)))


access_rows = st.tuples(st.sampled_from("RWU"), st.integers(0, 5), st.sampled_from([None, 0, 1, 2, 1 << 70]))


@st.composite
def edited_pairs(draw: st.DrawFn) -> tuple[list[tuple[str, int, int | None]], list[tuple[str, int, int | None]]]:
    """A recording and what a few edits made of it: changes, insertions, removals, moved blocks, longer loops."""
    a = draw(st.lists(access_rows, max_size=40))
    if draw(st.booleans()):
        a = a + a[:7] * draw(st.integers(0, 12))
    b = list(a)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(b)))
        length = draw(st.integers(1, 20))
        edit = draw(st.sampled_from(["insert", "remove", "change", "move", "repeat", "other"]))
        block, rest = b[at : at + length], b[:at] + b[at + length :]
        if edit == "insert":
            b[at:at] = draw(st.lists(access_rows, max_size=6))
        elif edit == "remove":
            b = rest
        elif edit == "change":
            b[at : at + 1] = [(op, offset, 7) for op, offset, _ in b[at : at + 1]]
        elif edit == "move":
            to = draw(st.integers(0, len(rest)))
            b = rest[:to] + block + rest[to:]
        elif edit == "repeat":
            b[at:at] = b[at : at + 2] * length
        else:
            b = draw(st.lists(access_rows, max_size=40))
    return a, b
