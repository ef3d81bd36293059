"""Inputs: compression by content, bounded memory, damage in compressed data; outputs: compression by suffix."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import resource
import threading
from pathlib import Path

import pytest
import zstandard

from mmiotools.errors import FormatError, UsageError
from mmiotools.formats.source import ByteSource, compressor, open_source

TEXT = bytes(random.Random(1).choices(range(32, 127), k=300_000))
PACK = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,  # as zstd(1) writes
}


def source(data: bytes) -> ByteSource:
    return ByteSource(io.BytesIO(data), "x", len(data))


@pytest.mark.parametrize("codec", PACK)
def test_compression_is_found_by_content(codec: str) -> None:
    found = source(PACK[codec](TEXT))
    assert found.compression == codec
    assert found.head == TEXT[:65536]
    assert b"".join(found.chunks()) == TEXT
    assert found.problem is None


@pytest.mark.parametrize("codec", PACK)
def test_several_members_are_one_input(codec: str) -> None:
    found = source(PACK[codec](b"one ") + PACK[codec](b"two"))
    assert b"".join(found.chunks()) == b"one two"
    assert found.problem is None


@pytest.mark.parametrize("codec", PACK)
def test_a_cut_input_gives_what_it_has_and_says_so(codec: str) -> None:
    packed = PACK[codec](TEXT)
    found = source(packed[: len(packed) // 2])
    got = b"".join(found.chunks())
    assert TEXT.startswith(got)
    assert "ends in the middle" in (found.problem or "")


@pytest.mark.parametrize("codec", PACK)
def test_a_garbled_input_says_so(codec: str) -> None:
    packed = bytearray(PACK[codec](TEXT))
    for at in range(len(packed) // 2, len(packed) // 2 + 60):
        packed[at] ^= 0x55
    found = source(bytes(packed))
    b"".join(found.chunks())
    assert f"damaged near byte {found.problem_at}" in (found.problem or "")
    assert len(packed) // 2 < found.problem_at <= len(packed)
    copied = source(bytes(packed)).seekable()
    b"".join(copied.chunks())
    assert (copied.problem, copied.problem_at) == (found.problem, found.problem_at)


@pytest.mark.parametrize("codec", PACK)
def test_a_bomb_comes_in_small_pieces(codec: str) -> None:
    bomb = PACK[codec](bytes(200 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = 0
    for chunk in source(bomb).chunks():
        assert len(chunk) <= 33 << 20
        total += len(chunk)
    assert total == 200 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000


@pytest.mark.parametrize("codec", PACK)
def test_outputs_compress(codec: str) -> None:
    raw = io.BytesIO()
    with compressor(raw, codec) as out:
        out.write(TEXT)
    assert b"".join(source(raw.getvalue()).chunks()) == TEXT


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_source(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="directory"):
        open_source(str(tmp_path))
    (tmp_path / "empty").touch()
    with pytest.raises(FormatError, match="is empty"):
        open_source(str(tmp_path / "empty"))
    with pytest.raises(FormatError, match="is empty"):
        open_source(os.devnull)


def test_a_pipe_that_gives_little_at_a_time_is_gathered() -> None:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as out:
            for at in range(0, len(TEXT), 5000):
                out.write(TEXT[at : at + 5000])

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(reading, "rb", buffering=0) as raw:
        found = ByteSource(raw, "pipe")
        assert b"".join(found.chunks()) == TEXT
    feeder.join()


@pytest.mark.parametrize("codec", PACK)
def test_a_pipe_that_begins_with_one_byte_is_decompressed(codec: str) -> None:
    packed = PACK[codec](TEXT)
    pieces = [packed[:1], packed[1:3], packed[3:], b""]

    class Slow(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            return pieces.pop(0)

    found = ByteSource(Slow(), "pipe")
    assert found.compression == codec
    assert found.head == TEXT[:65536]


def test_extents_cover_a_file_and_end_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "text"
    line = b"x" * 4999 + b"\n"
    path.write_bytes(line * 1000 + b"no end")
    found = open_source(str(path))
    extents = found.extents()
    assert extents is not None
    extents = list(extents)
    assert extents[-1].stop == path.stat().st_size
    parts = [b"".join(extent.chunks()) for extent in extents]
    assert b"".join(parts) == path.read_bytes()
    assert all(part.endswith(b"\n") for part in parts[:-1])
    assert len(parts) >= 3
    found.close()


def test_only_plain_files_have_extents() -> None:
    assert source(gzip.compress(TEXT)).extents() is None
    assert ByteSource(io.BytesIO(TEXT), "pipe").extents() is None


@pytest.mark.parametrize("codec", PACK)
def test_compressed_input_comes_in_pieces_as_large_as_any(codec: str) -> None:
    text = b"".join(b"R 4 %d.000000 1 0xfebc0008 0x%x 0x0 0\n" % (n, n * n) for n in range(60_000))
    pieces = list(source(PACK[codec](text)).chunks())
    assert b"".join(pieces) == text
    assert len(pieces) <= 4
