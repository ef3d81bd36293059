"""Which model each register is: tries every kind on its history, and takes the cheapest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mmiotools.models.confidence import Known, alone
from mmiotools.models.kinds import KINDS, History, Model, Since
from mmiotools.models.kinds.clearing import Clearing
from mmiotools.models.kinds.storage import Storage
from mmiotools.models.kinds.volatile import Volatile
from mmiotools.models.stream import READ, WRITE, Place, Stream
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Iterable, Iterator, NDArray

_Rows = NDArray[np.intp]

#: Registers that are tried as what another one reports on: those written most often just before it is read.
_TRIGGERS = 6
#: How many of the writes before a read are looked at for them.
_BEFORE = 3
#: A model that remembers more than this must not be wrong more often than that.
_SIMPLE, _IMPURE = 1.5, 0.2
#: Of so few reads each can have a value of its own by chance.
_FEW = 2
#: Of another model's right answers, the share that one must give that explains more.
_NEARLY = 0.75


@dataclass(slots=True)
class Learned:
    """A register and what was learned about it.

    model       its model
    reads       recorded reads with a value; `writes` recorded writes
    tried       reads that the model was tried on; `support` it gave right, the others contradict it
    pinned      a person has said that the model answers, whatever a path has
    name        of the register, in card files
    """

    place: Place
    model: Model
    reads: int
    writes: int
    tried: int
    support: int
    pinned: bool = False
    name: str = ""

    @property
    def contradict(self) -> int:
        """Reads that the model gets wrong."""
        return self.tried - self.support

    @property
    def known(self) -> Known:
        """What the confidence of an answer goes by."""
        return Known(self.tried, self.contradict, self.pinned, self.model.inexact)

    @property
    def confidence(self) -> float:
        """The chance that the model answers right where no path helps."""
        return alone(self.known)


def learn(stream: Stream) -> list[Learned]:
    """What each register of the recordings is, in order of BAR, offset and width. Registers that were only written
    are storage, as nothing speaks against it. O(n log n) for n accesses.
    """
    found = [
        _unread(place, writes) if history is None else _learn_one(history, writes)
        for place, history, writes in histories(stream)
    ]
    return sorted(found, key=lambda learned: learned.place)


def _learn_one(history: History, writes: int) -> Learned:
    best: Learned | None = None
    clearing: Learned | None = None
    price = float("inf")
    for kind in KINDS.values():
        if price <= kind.least:
            continue
        for model in kind.fit(history):
            remembers = isinstance(model, Clearing) and model.sure
            tried, support = evaluate(model, history, float("inf") if remembers else price)
            made = Learned(history.place, model, len(history.values), writes, tried, support)
            if remembers and (clearing is None or support > clearing.support):
                clearing = made
            if model.size > _SIMPLE and not model.inexact and tried - support > _IMPURE * tried:
                continue
            cost = tried - support + model.size
            if cost < price:
                price = cost
                best = made
    assert best is not None, "every register with reads can be a constant"
    if _misleads(best):
        # What was said of it would be wrong more often than not. That bits clear was seen; what sets them was not.
        if clearing is not None and clearing.support >= _NEARLY * best.support:
            best = clearing
        else:
            model = Volatile(history.place, history.mode)
            best = Learned(history.place, model, best.reads, writes, *evaluate(model, history))
    best.model.written_to = len(history.writes) > 0
    return best


def _misleads(learned: Learned) -> bool:
    """Whether a model gets no more than half of a register's reads right. Not one whose bits were seen to clear time
    and again: what sets them is what it cannot know; nor one that says itself that it seldom knows the value.
    """
    model = learned.model
    if model.inexact or (isinstance(model, Clearing) and model.sure):
        return False
    return learned.tried > _FEW and 2 * learned.support <= learned.tried


def _unread(place: Place, writes: int) -> Learned:
    model = Storage(place)
    model.written_to = True
    return Learned(place, model, 0, writes, 0, 0)


def evaluate(model: Model, history: History, price: float = float("inf")) -> tuple[int, int]:
    """(reads tried, reads right) of a model that never sees what the card answered. Ends early when it cannot cost less
    than the price.
    """
    size = model.size
    tried = support = 0
    model.restart()
    answer, took, wrote, triggered = model.answer, model.took, model.wrote, model.triggered
    for op, value in history.happened(model.after):
        if op == 0:
            tried += 1
            if answer() == value:
                support += 1
            elif tried - support + size >= price:
                break
            took()
        elif op == 1:
            wrote(value)
        elif op == 2:
            triggered(value)
        else:
            model.restart()
    model.restart()
    return tried, support


def histories(stream: Stream) -> Iterator[tuple[Place, History | None, int]]:
    """Every register that has a read or a write with a value: its history, None without reads, and its writes."""
    places = stream.vocabulary.places
    order = np.argsort(stream.register, kind="stable")
    counts = np.bincount(stream.register, minlength=len(places))
    ends = np.cumsum(counts)
    rows_of = [order[end - count : end] for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]
    written = (stream.op == WRITE) & stream.known
    recent = flatnonzero(written)
    writes = [rows[written[rows]] for rows in rows_of]
    for number, rows in enumerate(rows_of):
        reads = rows[(stream.op[rows] == READ) & stream.known[rows]]
        if not len(reads):
            if len(writes[number]):
                yield places[number], None, len(writes[number])
            continue
        own_rows, own_values = _with_overlaps(stream, number, reads, writes)
        others = {
            places[other]: (writes[other], stream.value[writes[other]])
            for other in _triggers(stream, number, reads, recent)
        }
        history = History(
            places[number],
            reads,
            stream.value[reads],
            stream.time[reads],
            _since(stream, None, reads, own_rows, own_values),
            [_since(stream, place, reads, *made) for place, made in others.items()],
            _since_start(stream, reads),
            own_rows,
            own_values,
            np.array(stream.starts[:-1], np.intp),
            others,
        )
        yield places[number], history, len(writes[number])


def _triggers(stream: Stream, number: int, reads: _Rows, recent: _Rows) -> list[int]:
    if len(reads) < 3 or not len(recent) or (stream.value[reads] == stream.value[reads[0]]).all():
        return []
    at = np.searchsorted(recent, reads)
    found: Counter[int] = Counter()
    for back in range(1, _BEFORE + 1):
        rows = recent[np.maximum(at - back, 0)][at >= back]
        found.update(dict(enumerate(np.bincount(stream.register[rows]).tolist())))
    found.pop(number, None)
    return [other for other, count in found.most_common(_TRIGGERS) if count > 1]


def _since(stream: Stream, trigger: Place | None, reads: _Rows, rows: _Rows, values: NDArray[np.uint64]) -> Since:
    """What a register of which these are the writes was last written, at each read; a new recording starts anew."""
    breaks = np.array(stream.starts[:-1], np.intp)
    at = np.searchsorted(rows, reads) - 1
    start = breaks[np.searchsorted(breaks, reads, "right") - 1]
    if not len(rows):
        rows, values = np.zeros(1, np.intp), np.zeros(1, np.uint64)
        has = np.zeros(len(reads), np.bool_)
    else:
        has = (at >= 0) & (rows[np.maximum(at, 0)] >= start)
    row = rows[np.maximum(at, 0)]
    value = np.where(has, values[np.maximum(at, 0)], np.uint64(0))
    write = np.where(has, at, -1).astype(np.int64)
    then, now = stream.time[row], stream.time[reads]
    elapsed = np.where(has & (then >= 0) & (now >= 0), now - then, -1)
    return Since(trigger, value, write, _nth(np.where(has, at, -1 - start)), elapsed)


def _since_start(stream: Stream, reads: _Rows) -> Since:
    """As if the start of each recording were a write that nobody made after."""
    epoch = np.searchsorted(np.array(stream.starts[:-1], np.intp), reads, "right")
    zeros = np.zeros(len(reads), np.int64)
    return Since(None, zeros.astype(np.uint64), zeros, _nth(epoch), stream.time[reads])


def _nth(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many equal keys come just before each, (n,)."""
    new = np.ones(len(keys), np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    count = np.arange(len(keys))
    return np.asarray(count - np.maximum.accumulate(np.where(new, count, 0)), np.int64)


def _with_overlaps(
    stream: Stream, number: int, reads: _Rows, writes: list[_Rows]
) -> tuple[_Rows, NDArray[np.uint64]]:
    """Writes to a register, those of other widths that change bytes of it among them: rows and whole values."""
    own = writes[number]
    others = [other for other in stream.vocabulary.near(number) if len(writes[other])]
    if not others:
        return own, stream.value[own]
    place = stream.vocabulary.places[number]
    rows = np.sort(np.concatenate([own, *(writes[other] for other in others)]))
    # What a write leaves alone is at first as it was read, in each recording.
    epochs = np.searchsorted(np.array(stream.starts[:-1], np.intp), rows, "right")
    before = np.searchsorted(reads, rows) - 1
    held, values, epoch = 0, [], 0
    known = zip(
        stream.register[rows].tolist(), stream.value[rows].tolist(), before.tolist(), epochs.tolist(), strict=True
    )
    for register, value, at, started in known:
        if started != epoch:
            epoch = started
            held = int(stream.value[reads[at]]) if at >= 0 and reads[at] >= stream.starts[epoch - 1] else 0
        held = merge(place, held, stream.vocabulary.places[register], value)
        values.append(held)
    return rows, np.array(values, np.uint64)


def merge(place: Place, held: int, other: Place, value: int) -> int:
    """What a register holds after a write to another that shares bytes with it."""
    shift = 8 * (other.offset - place.offset)
    mask, moved = (other.mask << shift, value << shift) if shift >= 0 else (other.mask >> -shift, value >> -shift)
    return (held & ~mask | moved & mask) & place.mask


def by_kind(found: Iterable[Learned]) -> Counter[str]:
    """How many registers are of each kind."""
    return Counter(learned.model.kind for learned in found)
