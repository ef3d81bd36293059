"""What must hold for what is read besides traces: compressed streams, register maps, masks, cards, filters."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import zstandard
from readings import Broken, Dribble, file_of, read_path, scratch, told

from mmiotools.errors import MmioToolsError
from mmiotools.events import Event, Kind
from mmiotools.filters.compile import Predicate
from mmiotools.filters.grammar import parse
from mmiotools.filters.masks import read_masks
from mmiotools.formats.source import ByteSource
from mmiotools.models.cardfile import card_text, read_card
from mmiotools.record.plan import read_scenario
from mmiotools.regmaps import read_maps
from mmiotools.trace.batch import Batch
from mmiotools.trace.names import Names

#: Decompressed bytes that are made, and that are looked at.
MOST, KEPT = 1 << 26, 1 << 22
#: A read gives about 2 MiB; a little zstd can become more, but no more than this.
LARGEST = 36 << 20


def _all_frames(make: Callable[[], Any], data: bytes, error: type[Exception], padding: bytes = b"") -> bytes:
    parts = []
    while data:
        decoder = make()
        parts.append(decoder.decompress(data))
        if not decoder.eof:
            raise error("ends in the middle")
        data = decoder.unused_data.lstrip(padding) if padding else decoder.unused_data
    return b"".join(parts)


def _unzstd(data: bytes) -> bytes:
    make = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
    return _all_frames(make, data, zstandard.ZstdError)


def _ungzip(data: bytes) -> bytes:
    """As zlib has it: the module gzip takes any checksum of a header for right, and flags that have to be 0."""
    return _all_frames(lambda: zlib.decompressobj(31), data, zlib.error, b"\0")


def _unxz(data: bytes) -> bytes:
    return _all_frames(lzma.LZMADecompressor, data, lzma.LZMAError, b"\0")


_REFERENCE: dict[str, tuple[Callable[[bytes], bytes], tuple[type[Exception], ...]]] = {
    "gzip": (_ungzip, (zlib.error,)),
    "bzip2": (bz2.decompress, (OSError, ValueError)),
    "xz": (_unxz, (lzma.LZMAError,)),
    "zstd": (_unzstd, (zstandard.ZstdError,)),
}


def check_compressed(codec: str, data: bytes) -> int:
    """The same bytes from a file and a pipe, in bounded pieces, as the library has them; what breaks off is told."""
    rng = Random(zlib.crc32(data))
    with file_of(data) as path, open(path, "rb", buffering=0) as file:
        source = ByteSource(file, "x", len(data))
        if source.compression != codec:
            return 0
        content, whole = _content(source)
        problem = source.problem
    piped = ByteSource(Dribble(data, rng.choice([1, 5, 100, 1000])), "x")  # type: ignore[arg-type]
    other, _ = _content(piped)
    # What stands before damage is lost with it as far as it was decompressed together with it.
    same = content == other if problem is None else content.startswith(other) or other.startswith(content)
    if not same or (problem is None) != (piped.problem is None):
        raise Broken("a compressed pipe gives something else than a file", f"{problem} / {piped.problem}")
    if whole:
        decompress, errors = _REFERENCE[codec]
        try:
            expected = decompress(data)
        except errors as error:
            if problem is None:
                raise Broken("a compressed stream that is broken is taken for a good one", str(error)) from None
        else:
            if codec == "zstd" or problem is None:
                if content != expected:
                    raise Broken("another content than the library's", f"{len(content)} / {len(expected)} {problem}")
            elif codec != "bzip2":  # which takes anything behind a stream for the end of the file
                raise Broken("a good compressed stream is taken for a broken one", problem)
    with file_of(data) as path:
        reading = read_path(path, rng.choice([None, None, "mmiotrace"]))
        if reading.whole and reading.error is None and problem is not None and not reading.damaged:
            raise Broken("a compressed stream that breaks off is not told")
    return len(content)


def _content(source: ByteSource) -> tuple[bytes, bool]:
    parts, have = [], 0
    for data in source.chunks():
        if len(data) > LARGEST:
            raise Broken("a read gives too much at once", str(len(data)))
        if have < KEPT:
            parts.append(data[:KEPT])
        have += len(data)
        if have > MOST:
            break
    return b"".join(parts)[:KEPT], have <= KEPT


# -- settings ---------------------------------------------------------------------------------------------------------


def _named(data: bytes, suffix: str) -> str:
    path = scratch() / f"input{suffix}"
    path.write_bytes(data)
    return str(path)


def check_register_map(data: bytes) -> int:
    """Any file is a register map or an error with its place; what is read can be asked."""
    suffixes = (".svd", ".xml", ".h", ".toml", ".txt")
    path = _named(data, suffixes[zlib.crc32(data) % len(suffixes)])
    with _refused():
        notes: list[str] = []
        maps = read_maps(path, notes.append)
        names = Names(maps)
        for regmap in maps:
            for register in regmap.registers[:200]:
                list(names.places(register.name))
        return sum(len(regmap.registers) for regmap in maps)
    return 0


def check_masks(data: bytes) -> int:
    """Any file is a file of masks or an error."""
    with _refused():
        found = read_masks(_named(data, ".toml"))
        return len(found.masks) + len(found.blocks)
    return 0


def check_card(data: bytes) -> int:
    """Any file is a card, whose text is read as the same card, or an error."""
    with _refused():
        card = read_card(_named(data, ".toml"))
        text = card_text(card)
        if card_text(read_card(_named(text.encode(), ".toml"))) != text:
            raise Broken("a card is not read as it is written")
        return len(card.registers)
    return 0


def check_scenario(data: bytes) -> int:
    """Any file is a scenario or an error."""
    with _refused():
        return len(read_scenario(_named(data, ".toml")))
    return 0


def _events() -> list[Event]:
    some: list[Event] = []
    for number in range(40):
        big = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1][number % 5]
        some.append(Event(Kind(number % 11), number * 10**8, 4, number % 3, big, "00:03.0/BAR0", 0x100, big, 1, 2, 0))
        some.append(Event(Kind.READ, value=1 << 100, addr=0xFEBC0008))
        some.append(Event(Kind.MARK, -1, extra={"text": b"load \xff"}))
    return some


_BATCH = Batch.from_events(_events())


def check_filter(data: bytes) -> int:
    """Any text is an expression, which printed and read again selects the same, or an error with its place."""
    text = data.decode("utf-8", "surrogateescape")
    with _refused():
        chosen = Predicate(text).mask(_BATCH)
        if chosen.dtype != np.bool_ or len(chosen) != len(_BATCH):
            raise Broken("a mask of the wrong type or length")
        printed = str(parse(text))
        if not np.array_equal(Predicate(printed).mask(_BATCH), chosen):
            raise Broken("printed, an expression selects something else", f"{text!r} {printed!r}"[:500])
        return int(chosen.sum())
    return 0


@contextlib.contextmanager
def _refused() -> Iterator[Any]:
    """The project's own errors are an answer, if they are one line."""
    try:
        yield
    except MmioToolsError as error:
        told(error)
