"""Numbers as characters, many lines at once, against Python's own spelling of one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.formats.text_page import Page, spliced, table_of

NUMBERS = st.integers(0, 9) | st.sampled_from([0, 9999, 10000, 0xFFFF, 0x10000, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
ROWS = st.lists(st.tuples(NUMBERS | st.integers(0, (1 << 64) - 1), st.booleans()), min_size=1, max_size=12)
WORDS = [b"", b"R ", b"longer", b"W"]


@settings(max_examples=300, deadline=None)
@given(ROWS | NUMBERS.map(lambda number: [(number, True)] * 3), st.integers(1, 9), st.integers(1, 4))
def test_fields_are_spelled_as_python_spells_them(rows: list[tuple[int, bool]], fixed: int, words: int) -> None:
    numbers = np.array([number for number, _ in rows], np.uint64)
    some = np.array([shown for _, shown in rows])
    which = np.arange(len(rows)) % words
    page = Page(len(rows))
    page.literal(b"<")
    page.decimal(numbers)
    page.literal(b",", some)
    page.decimal(numbers, some)
    page.literal(b"|")
    page.hexadecimal(numbers)
    page.hexadecimal(numbers, some)
    page.binary(numbers, some)
    page.decimal(numbers % np.uint64(10**fixed), fixed=fixed)
    page.digits(numbers, fixed, some)
    page.opcode(numbers & np.uint64(0xFFFFFF), some)
    page.words(table_of(WORDS[:words]), which)
    page.literal(b"\n")
    text, characters = page.join()
    lines = []
    for (number, shown), word in zip(rows, which.tolist(), strict=True):
        upper = f"{number:0{fixed}X}"[-fixed:]
        code = f"{number & 0xFFFFFF:06x}"
        inside = f",{number}" if shown else ""
        opcode = f"{upper}{code[:2]},{code[2:4]},{code[4:]}" if shown else ""
        line = f"<{number}{inside}|{number:#x}" + (f"{number:#x}{number:b}" if shown else "")
        lines.append(f"{line}{number % 10**fixed:0{fixed}}{opcode}{WORDS[word].decode()}\n".encode())
    assert text == b"".join(lines)
    assert np.count_nonzero(characters, axis=1).tolist() == [len(line) for line in lines]
    assert spliced(text, characters, [(0, b"first"), (len(lines), b"last")]) == b"first" + text + b"last"
