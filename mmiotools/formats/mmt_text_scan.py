"""The bulk of valgrind-mmt's text on columns: plain loads and stores by map, read from the right, without Python per
line. `--PID-- w MAP:0xOFFSET, 0xVALUE ` alone is taken, in exactly the spelling that the tool has; see text_numbers.
"""

from __future__ import annotations

import numpy as np

from mmiotools.formats.line_columns import Lines
from mmiotools.formats.line_shapes import Taken
from mmiotools.formats.mapped import MapRegions
from mmiotools.formats.text_numbers import (
    LAST,
    LEAST_DECIMAL,
    U32,
    Index,
    characters,
    count_digits,
    decimal_before,
    decimal_words,
    hex_words,
    last_place,
    u64,
)
from mmiotools.trace.batch import Regions

_COMMA = characters(b", 0x")
_LOW_HALF = u64(0xFFFFFFFF)
_X = u64(0x7878787878787878)
#: The least offset of so many digits that is printed with them: they are padded to four.
_LEAST_HEX = np.array([0] * 5 + [16 ** (digits - 1) for digits in range(5, 9)], np.uint64)


def scan(lines: Lines, regions: Regions) -> list[tuple[Index, Taken]]:
    """The rows of a block's plain accesses and their fields."""
    rows = lines.beginning_with(b"-")
    if not len(rows):
        return []
    words, start, end = lines.words, lines.starts[rows], lines.text_ends[rows]
    text = words.bytes
    good = (text[start + 1] == 0x2D) & (text[end - 1] == 0x20)
    if lines.crlf is not None:
        good &= ~lines.crlf[rows]
    early, late = words.wide_before(end - 1)
    eight = early & _LOW_HALF == _COMMA
    four = ~eight & (late >> U32 == _COMMA)
    two = ~eight & ~four & (late >> u64(16) & _LOW_HALF == _COMMA)
    digits = 8 * eight + 4 * four + 2 * two
    good &= digits > 0
    value, wrong = hex_words(late, LAST[digits])
    good &= ~wrong
    at = end - 5 - digits  # the comma
    late = words.before(at)
    figures = count_digits(last_place(late, _X))
    offset, wrong = hex_words(late, LAST[figures])
    good &= ~wrong & (figures >= 4) & (offset >= _LEAST_HEX[figures])
    at -= figures
    good &= (text[at - 1] == 0x78) & (text[at - 2] == 0x30) & (text[at - 3] == 0x3A)
    number = decimal_before(words, at - 3)
    good &= number.good
    at = np.where(number.good, number.blank, start + 4)
    letter = text[at - 1]
    writes = letter == 0x77
    good &= writes | (letter == 0x72)
    good &= (text[at - 2] == 0x20) & (text[at - 3] == 0x2D) & (text[at - 4] == 0x2D)
    length = at - 6 - start
    good &= (length >= 1) & (length <= 7)
    length = np.where(good, length, 1)
    pid, wrong = decimal_words(words.before(at - 4), LAST[length])
    nobody = (length == 4) & (pid == 0)
    good &= ~wrong & (nobody | ((pid > 0) & (pid >= LEAST_DECIMAL[length])))
    if not good.any():
        return []
    maps = number.value[good].view(np.int64)
    columns = {
        "width": ((digits[good] >> 1).astype(np.uint8), None),
        "map": (maps, None),
        "region": (MapRegions(regions).codes(maps), None),
        "offset": (offset[good], None),
        "value": (value[good], None),
        "pid": (pid[good].view(np.int64), ~nobody[good]),
    }
    return [(rows[good], Taken(writes[good].astype(np.uint8), columns))]
