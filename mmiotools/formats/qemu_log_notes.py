"""The lines of QEMU's log that are no accesses, on columns: interrupts, other trace events, text without a stamp.

A QEMU that traces everything writes millions of them. What they say is kept as it is, so that here is only decided
which of them are certainly no accesses; all others are read one by one.
"""

from __future__ import annotations

import numpy as np

from mmiotools.formats.alike import alike, text_words
from mmiotools.formats.line_columns import MARGIN
from mmiotools.formats.qemu_log_lines import KEYWORDS, TELLTALES
from mmiotools.formats.qemu_log_stamps import pid_stamps
from mmiotools.formats.text_numbers import Index, Mask, Words
from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import NamedTuple, NDArray

#: Longest name of an event that is looked at on columns, and longest stamp.
_LONGEST_NAME, _LONGEST_STAMP = 88, 28
_COLON, _BLANK = b": "


class Notes(NamedTuple):
    """Lines that are no accesses, (k,) each: their rows, which of them have a canonical stamp, its time and pid, where
    their text begins, and which begin with the name of an event that may be more than a note.
    """

    rows: Index
    stamped: Mask
    time: NDArray[np.int64]
    pid: NDArray[np.int64]
    begin: Index
    known: Mask

    def take(self, which: Mask) -> Notes:
        """Some of them."""
        rows, stamped, time, pid, begin, known = self
        return Notes(rows[which], stamped[which], time[which], pid[which], begin[which], known[which])


def find_notes(words: Words, block: bytes, rows: Index, starts: Index, ends: Index) -> Notes:
    """Which of some lines of a block, (n,) first byte and the byte behind the last, are certainly no accesses."""
    data = words.bytes
    begin, name_end = _names(data, starts, ends)
    doubtful = _with_telltales(block, starts, ends)
    first = data[np.minimum(starts, len(data) - 1)]
    digit = (first >= ord("0")) & (first <= ord("9"))
    fits = ~doubtful & (starts >= MARGIN) & (ends > starts) & (first != ord("#")) & (name_end > begin)
    fits &= name_end - begin <= _LONGEST_NAME
    fits &= (begin > starts) | ~digit  # a line that begins with a digit may have a stamp of another kind
    at = flatnonzero(fits)
    stamped = begin[at] > starts[at]
    time, pid = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    if stamped.any():
        some = at[stamped]
        stamps = pid_stamps(words, starts[some], begin[some])
        assert stamps.pid is not None
        time[stamped], pid[stamped] = stamps.time, stamps.pid
        good = np.ones(len(at), np.bool_)
        good[stamped] = stamps.good
        at, stamped, time, pid = at[good], stamped[good], time[good], pid[good]
    which = _known(words, block, begin[at], name_end[at]) if len(at) else np.zeros(0, np.int64)
    return Notes(rows[at], stamped, time, pid, begin[at], which > 0).take(which >= 0)


def _names(data: NDArray[np.uint8], starts: Index, ends: Index) -> tuple[Index, Index]:
    """Where the text of each line begins, behind a stamp where there may be one, and where its first word ends."""
    low, high = int(starts[0]), int(ends[-1])
    piece = data[low:high]
    colons = append(flatnonzero(piece == _COLON) + low, high)
    blanks = append(flatnonzero(piece == _BLANK) + low, high)
    colon = colons[np.searchsorted(colons, starts)]
    blank = np.minimum(blanks[np.searchsorted(blanks, starts)], ends)
    may_be = (colon < blank) & (colon - starts < _LONGEST_STAMP) & (data[np.minimum(starts, len(data) - 1)] <= ord("9"))
    begin = np.where(may_be, colon + 1, starts)
    # A stamp ends at its only colon, and no blank is in it: the first word ends at the first blank all the same.
    return begin, blank


def _with_telltales(block: bytes, starts: Index, ends: Index) -> Mask:
    """Which lines hold a text that accesses have."""
    found = []
    low, high = int(starts[0]), int(ends[-1])
    for text in TELLTALES:
        at = block.find(text, low, high)
        while at >= 0:
            found.append(at)
            # One in a line is enough.
            at = block.find(b"\n", at, high)
            at = block.find(text, at, high) if at >= 0 else -1
    hit = np.zeros(len(starts), np.bool_)
    if found:
        places = np.array(found, np.int64)
        which = np.searchsorted(starts, places, "right") - 1
        inside = which[places < ends[which]]
        hit[inside] = True
    return hit


def _known(words: Words, block: bytes, first: Index, last: Index) -> Index:
    """1 for words that are names of events that are read, 0 for others, -1 where there are too many to tell."""
    which, examples = alike([text_words(words, first, last)])
    spans = zip(first[examples].tolist(), last[examples].tolist(), strict=True)
    told: Index = np.array([*(block[start:end] in KEYWORDS for start, end in spans), -1], np.int64)[which]
    return told
