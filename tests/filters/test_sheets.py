"""Text in memory that processes have in common."""

from __future__ import annotations

import os

import pytest

from mmiotools.quick.sheets import Sheet, Sheets


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 12, 100])
def test_what_is_put_together_is_there_whatever_room_there_is(size: int) -> None:
    memory = memoryview(bytearray(size))
    sheet = Sheet(memory)
    for part in (b"abc", b"", b"def"):
        sheet.put(part)
    room = sheet.rest()
    if len(room) < 50:
        room = sheet.beside(50)
    room[:2] = b"gh"
    sheet.took(2)
    sheet.put(b"i")
    text = sheet.text()
    assert (bytes(memory[:text]) if isinstance(text, int) else text) == b"abcdefghi"
    assert isinstance(text, int) == (size >= 56)


def test_a_child_writes_and_its_parent_reads() -> None:
    sheets = Sheets(3, 8)
    child = os.fork()
    if not child:
        sheet = Sheet(sheets.memory(4))
        sheet.put(b"seen")
        os._exit(sheet.text() != 4)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(sheets.memory(1)) == b"seen\0\0\0\0"
    assert bytes(sheets.memory(0)) == bytes(8) == bytes(sheets.memory(2))
