"""Compares what was recorded with what the device saw: accesses lost, recorded with a wrong value, or invented."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from mmiotools.engine.interface import CONFIG, Seen
from mmiotools.events import ACCESSES, Event, Kind
from mmiotools.trace.header import PciDevice
from mmiotools.trace.intervals import IntervalIndex
from mmiotools.typed import Hashable, Iterable, NamedTuple, Sequence

#: Readings of UNKNOWN events followed at a time, and recorded accesses looked ahead to choose between two.
_MAX_STATES = 64
_LOOK_AHEAD = 64

_OPS = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}


class Recorded(NamedTuple):
    """An access of the recording, in the device's terms. `op` is "R", "W" or "U" (UNKNOWN: no width, no value)."""

    op: str
    region: str
    offset: int
    width: int | None
    value: int | None


@dataclass(slots=True)
class Truth:
    """The verdict. Each recorded access is right, wrong, invented or elsewhere; each seen one right, wrong or lost.

    right       pairs that agree; an UNKNOWN agrees with the access, or the read and write, at its address
    lost        seen by the device, not recorded
    wrong       (recorded, seen): the same place, another value
    invented    recorded, not seen by the device
    elsewhere   recorded at addresses that are not the device's: it has no word on them
    """

    right: int = 0
    lost: list[Seen] = field(default_factory=list)
    wrong: list[tuple[Recorded, Seen]] = field(default_factory=list)
    invented: list[Recorded] = field(default_factory=list)
    elsewhere: list[Event] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing lost, wrong or invented."""
        return not (self.lost or self.wrong or self.invented)


class Checker:
    """Takes the events of a run as they come, and holds their accesses against what the device saw when it is over."""

    def __init__(self, device: PciDevice) -> None:
        self._recorded: list[Recorded] = []
        self._cpus: list[int] = []
        self._elsewhere: list[Event] = []
        self._bars: IntervalIndex[str] = IntervalIndex()
        for bar in device.bars:
            if bar.addr and bar.size and bar.space == "mem":
                self._bars.insert(bar.addr, bar.addr + bar.size, bar.name)

    def add(self, event: Event) -> None:
        """Take an event; kinds other than READ, WRITE and UNKNOWN say nothing here."""
        if event.kind not in ACCESSES:
            return
        found = self._bars.stab(event.addr) if event.addr is not None else ()
        if not found or event.addr is None:
            self._elsewhere.append(event)
            return
        offset = event.addr - found[0].start
        self._recorded.append(Recorded(_OPS[event.kind], found[0].value, offset, event.width, event.value))
        self._cpus.append(event.cpu or 0)

    def verdict(self, seen: Iterable[Seen]) -> Truth:
        """Align the two sequences.

        A recording that is a subsequence of what was seen has lost accesses and nothing else, however many: O(n).
        Others are aligned greedily, at each disagreement to the nearest match: O(n log n), and minimal where
        disagreements lie apart from each other. Whether an UNKNOWN stands for one access or two is decided by what
        follows. Configuration space is left out of `seen`, it is not memory-mapped.
        """
        return self.verdict_by_cpu(seen, ())[0]

    def verdict_by_cpu(self, seen: Iterable[Seen], initiators: Sequence[int]) -> dict[int, Truth]:
        """`verdict` for the accesses of each CPU, by its number: between CPUs no order is asked for.

        initiators  the CPU of each of `seen` that is not of configuration space; empty when all are the first's
        What was recorded elsewhere is in the first CPU's.
        """
        theirs = [s for s in seen if s.region != CONFIG]
        if not initiators:
            truth = Truth(elsewhere=list(self._elsewhere))
            _align(self._recorded, theirs, truth)
            return {0: truth}
        verdicts = {}
        for cpu in sorted({0, *initiators, *self._cpus}):
            verdicts[cpu] = truth = Truth(elsewhere=[] if cpu else list(self._elsewhere))
            ours = [r for r, number in zip(self._recorded, self._cpus, strict=True) if number == cpu]
            _align(ours, [s for s, number in zip(theirs, initiators, strict=True) if number == cpu], truth)
        return verdicts


def compare(events: Iterable[Event], seen: Iterable[Seen], device: PciDevice) -> Truth:
    """Hold the accesses among `events` against what the device saw, both in order; see `Checker.verdict`."""
    checker = Checker(device)
    for event in events:
        checker.add(event)
    return checker.verdict(seen)


class _Positions:
    """Where each key occurs in a sequence, for "the next one from here"."""

    def __init__(self) -> None:
        self._at: dict[Hashable, list[int]] = {}

    def add(self, key: Hashable, position: int) -> None:
        self._at.setdefault(key, []).append(position)

    def next(self, key: Hashable, start: int) -> int | None:
        """The first position from `start` on, or None."""
        at = self._at.get(key, [])
        found = bisect_left(at, start)
        return at[found] if found < len(at) else None


def _spot(access: Recorded | Seen) -> tuple[str, int]:
    return access.region, access.offset


def _agree(ours: Recorded, theirs: Seen) -> bool:
    if ours.op == "U":
        return _spot(ours) == _spot(theirs)
    return tuple(ours) == tuple(theirs)


def _align(recorded: Sequence[Recorded], seen: Sequence[Seen], truth: Truth) -> None:
    reached, states = _ends(recorded, 0, len(recorded), seen, 0)
    if reached == len(recorded) and len(seen) in states:
        truth.right = len(recorded)
        return
    if _only_lost(recorded, seen, truth):
        return
    in_recorded, in_seen = _Positions(), _Positions()
    for position, ours in enumerate(recorded):
        in_recorded.add(_spot(ours) if ours.op == "U" else tuple(ours), position)
    for position, theirs in enumerate(seen):
        in_seen.add(tuple(theirs), position)
        in_seen.add(_spot(theirs), position)
    r = s = 0
    while r < len(recorded) and s < len(seen):
        ours, theirs = recorded[r], seen[s]
        if _agree(ours, theirs):
            truth.right += 1
            s += 1
            r += 1
            if ours.op == "U" and _is_pair(seen, s - 1) and _better(recorded, r, seen, s + 1, s):
                s += 1
            continue
        if ours.op != "U" and ours[:4] == theirs[:4] and _resumes(recorded, r + 1, seen, s + 1):
            truth.wrong.append((ours, theirs))
            r, s = r + 1, s + 1
            continue
        there = in_seen.next(_spot(ours) if ours.op == "U" else tuple(ours), s)
        here = _nearest(in_recorded.next(tuple(theirs), r), in_recorded.next(_spot(theirs), r))
        if there is None and here is None and ours[:4] == theirs[:4]:
            truth.wrong.append((ours, theirs))
            r, s = r + 1, s + 1
        elif there is not None and (here is None or there - s <= here - r):
            truth.lost.extend(seen[s:there])
            s = there
        elif here is not None:
            truth.invented.extend(recorded[r:here])
            r = here
        else:
            truth.invented.append(ours)
            truth.lost.append(theirs)
            r, s = r + 1, s + 1
    truth.invented.extend(recorded[r:])
    truth.lost.extend(seen[s:])


def _only_lost(recorded: Sequence[Recorded], seen: Sequence[Seen], truth: Truth) -> bool:
    """Is the recording a subsequence of what was seen? Then everything else was lost, and `truth` says so.

    An UNKNOWN is both halves of its instruction where what follows can still be found after them.
    """
    # Where the last access that can be recorded[r] lies: up to there there is room for all from r on.
    last = [0] * len(recorded)
    s = len(seen)
    for r in range(len(recorded) - 1, -1, -1):
        s -= 1
        while s >= 0 and not _agree(recorded[r], seen[s]):
            s -= 1
        if s < 0:
            return False
        last[r] = s
    s = 0
    for r, ours in enumerate(recorded):
        while not _agree(ours, seen[s]):
            truth.lost.append(seen[s])
            s += 1
        s += 1
        room = last[r + 1] if r + 1 < len(recorded) else len(seen)
        if ours.op == "U" and _is_pair(seen, s - 1) and s < room:
            s += 1
    truth.right = len(recorded)
    truth.lost.extend(seen[s:])
    return True


def _is_pair(seen: Sequence[Seen], s: int) -> bool:
    """Could the accesses from s be the read and the write of one instruction?"""
    return s + 1 < len(seen) and (seen[s].op, seen[s + 1].op) == ("R", "W") and seen[s][1:4] == seen[s + 1][1:4]


def _ends(recorded: Sequence[Recorded], r: int, stop: int, seen: Sequence[Seen], s: int) -> tuple[int, set[int]]:
    """Follow full agreement from (r, s), every UNKNOWN as one access and as two: the first of recorded[r:stop] that
    agrees in no reading (stop if all do), and where in `seen` the readings then stand.
    """
    states = {s}
    while r < stop:
        ours = recorded[r]
        after = {at + 1 for at in states if at < len(seen) and _agree(ours, seen[at])}
        if ours.op == "U":
            after |= {at + 1 for at in after if _is_pair(seen, at - 1)}
            if len(after) > _MAX_STATES:
                # The extremes: all were single accesses, or all were pairs.
                ordered = sorted(after)
                after = {*ordered[: _MAX_STATES // 2], *ordered[-_MAX_STATES // 2 :]}
        if not after:
            break
        states, r = after, r + 1
    return r, states


def _better(recorded: Sequence[Recorded], r: int, seen: Sequence[Seen], first: int, second: int) -> bool:
    """Does seen[first:] go on with recorded[r:] at least as well as seen[second:]?"""
    stop = min(r + _LOOK_AHEAD, len(recorded))
    scores = []
    for s in (first, second):
        reached, states = _ends(recorded, r, stop, seen, s)
        scores.append((reached, reached < len(recorded) or len(seen) in states))
    return scores[0] >= scores[1]


def _resumes(recorded: Sequence[Recorded], r: int, seen: Sequence[Seen], s: int) -> bool:
    """Do both agree from here, or end together?"""
    if r >= len(recorded) or s >= len(seen):
        return r >= len(recorded) and s >= len(seen)
    return _agree(recorded[r], seen[s])


def _nearest(*positions: int | None) -> int | None:
    return min((p for p in positions if p is not None), default=None)
