"""Where reading a native file goes on after damage."""

from __future__ import annotations

import pytest

from mmiotools.formats import native_stream
from mmiotools.formats.native_layout import pack_file_header
from mmiotools.formats.native_magic import MAGIC, SYNC
from mmiotools.formats.native_stream import Stream, take_header
from mmiotools.trace.header import TraceHeader


@pytest.mark.parametrize("filler", [b"x", MAGIC, SYNC, MAGIC + b"\1\0", b"\x89\x8a"])
def test_a_header_is_found_wherever_it_lies(monkeypatch: pytest.MonkeyPatch, filler: bytes) -> None:
    monkeypatch.setattr(native_stream, "_WINDOW", 64)
    header = pack_file_header(1, 3, b"\x80")
    for before in range(200):
        for piece in (1, 7, 64, 1000):
            data = (filler * before)[:before] + header + b"behind"
            pieces = iter([data[at : at + piece] for at in range(0, len(data), piece)])
            stream = Stream(lambda pieces=pieces: next(pieces, b""))  # type: ignore[misc]
            assert stream.seek_mark() and stream.offset == before
            assert stream.peek(len(header)) == header
            stream.skip(1)
            assert not stream.seek_mark()


def test_a_format_without_a_name_says_nothing() -> None:
    header = TraceHeader("native")
    take_header(header, {"format": "", "clock": "local", "time_digits": 99, "meta": []})
    assert (header.format, header.clock, header.time_digits) == ("native", "local", 9)
