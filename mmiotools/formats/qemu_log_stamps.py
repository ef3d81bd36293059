"""Time stamps before the lines of QEMU's log, on columns: `pid@seconds.microseconds:` and ISO 8601."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.qemu_log_lines import LAST_SECOND, iso_seconds
from mmiotools.formats.text_numbers import (
    LAST,
    LEAST_DECIMAL,
    U8,
    Index,
    Mask,
    Words,
    decimal_behind,
    decimal_words,
    u64,
)
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Any, NamedTuple, NDArray

_THOUSAND, _BILLION = u64(1000), u64(1_000_000_000)
#: More seconds than one in this many lines are no log's.
_LINES_A_SECOND = 4


class Stamps(NamedTuple):
    """Nanoseconds since 1970 (n,), process or thread (n,) where it is told, and which are canonically spelled."""

    time: NDArray[np.int64]
    pid: NDArray[np.int64] | None
    good: Mask

    def take(self, rows: Mask) -> Stamps:
        """Those of some rows."""
        return Stamps(self.time[rows], None if self.pid is None else self.pid[rows], self.good[rows])


def pid_stamps(words: Words, start: Index, end: Index) -> Stamps:
    """`pid@S.UUUUUU:` in [start, end); seconds have ten digits, or up to seven where the clock is young."""
    stamps = _long_stamps(words, start, end)
    if stamps.pid is not None and not stamps.good.all():
        rows = flatnonzero(~stamps.good)
        short = _short_stamps(words, start[rows], end[rows])
        stamps.time[rows], stamps.pid[rows], stamps.good[rows] = short
    return stamps


def _short_stamps(words: Words, start: Index, end: Index) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
    """Time, pid, and which are right: those whose seconds have up to seven digits."""
    late = words.before(end)
    good = late & u64(0xFF000000000000FF) == 0x2E0000000000003A
    micro, bad = decimal_words(late >> U8, LAST[6])
    seconds = decimal_behind(words, end - 8, b"@")
    figures = end - 9 - seconds.blank
    good &= ~bad & seconds.good & (seconds.value >= LEAST_DECIMAL[np.clip(figures, 0, 7)])
    count = seconds.blank - start
    good &= (count > 0) & (count <= 7)
    count[~good] = 1
    pid, bad = decimal_words(words.before(np.where(good, seconds.blank, end)), LAST[count])
    good &= ~bad & (pid >= LEAST_DECIMAL[count])
    time = seconds.value * _BILLION + micro * _THOUSAND
    return time.view(np.int64), pid.view(np.int64), good


def _long_stamps(words: Words, start: Index, end: Index) -> Stamps:
    early, late = words.wide_before(end)
    good = late & u64(0xFF000000000000FF) == 0x2E0000000000003A
    late >>= U8
    micro, bad = decimal_words(late, LAST[6])
    good &= ~bad
    figures = end - start - 19
    usable = (figures > 0) & (figures <= 8)
    good &= usable
    figures = np.where(usable, figures, 1)
    process = words.before(end - 18)  # "…pid@"
    # Seconds and processes change seldom from line to line: one decoding for each run of equal ones.
    top = words.before(end - 16) & LAST[3]  # "@SS"
    firsts, runs = _runs(early, top, process, figures)
    above, wrong = decimal_words(top[firsts], LAST[2])
    below, bad = decimal_words(early[firsts], LAST[8])
    wrong |= bad
    wrong |= (top[firsts] >> u64(16) != ord("@")) | (above < 10)
    count = figures[firsts]
    pid, bad = decimal_words(process[firsts] >> U8, LAST[np.minimum(count, 7)])
    wrong |= bad | (count > 7) | (pid < LEAST_DECIMAL[count])
    seconds = above * u64(100_000_000) + below
    wrong |= seconds >= LAST_SECOND
    time = np.repeat(seconds * _BILLION, runs)
    micro *= _THOUSAND
    time += micro
    good &= ~np.repeat(wrong, runs)
    return Stamps(time.view(np.int64), np.repeat(pid.view(np.int64), runs), good)


def iso_stamps(words: Words, start: Index, end: Index) -> Stamps:
    """`YYYY-MM-DDThh:mm:ss.UUUUUUZ ` in [start, end). QEMU leaves a fraction of 0 out: such lines are not taken."""
    late = words.before(end - 2)
    good = end - start == 28
    good &= late & u64(0x00FF000000000000) == 0x002E000000000000
    micro, bad = decimal_words(late, LAST[6])
    good &= ~bad & (micro > 0)
    parts = [words.before(end - 9), words.before(end - 17), words.before(end - 25) & LAST[3]]
    firsts, runs = _runs(*parts)
    seconds = np.zeros(len(firsts), np.int64)
    if len(firsts) * _LINES_A_SECOND <= len(end) + 64:
        for at, row in enumerate(firsts.tolist()):
            text = b"".join(int(part[row]).to_bytes(8, "big") for part in reversed(parts))[-19:]
            found = iso_seconds(text) if _is_date(text) else None
            if found is not None and 0 < found < LAST_SECOND:
                seconds[at] = found
    good &= np.repeat(seconds > 0, runs)
    time = np.repeat(seconds * 1_000_000_000, runs)
    time += (micro * _THOUSAND).view(np.int64)
    return Stamps(time, None, good)


def _is_date(text: bytes) -> bool:
    return text.translate(None, b"0123456789") == b"--T::" and text[4] == text[7] == 0x2D and text[13] == 0x3A


def _runs(*columns: Any) -> tuple[Index, Index]:
    """First row and length of each run of rows that are equal in all columns."""
    change = np.zeros(len(columns[0]), np.bool_)
    change[0] = True
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    firsts = flatnonzero(change)
    return firsts, np.diff(firsts, append=len(change))
