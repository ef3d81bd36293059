"""Parquet and Arrow IPC: tables for DuckDB, Polars, Spark and pandas. What they are made of is in formats/arrow.md."""

from __future__ import annotations

import importlib.util

from mmiotools.errors import UsageError
from mmiotools.formats.base import EVERYTHING, Sniff, Writer
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import BinaryIO, Iterator

_INSTALL = "pip install 'mmiotools[arrow]'"


class ArrowFormat:
    """The plug-in object of both. It works without pyarrow as far as it can be listed and recognises its files."""

    api = 1
    keeps = EVERYTHING
    binary = True
    readable = True
    writable = True

    def __init__(self, name: str, title: str, suffixes: tuple[str, ...], magic: bytes) -> None:
        self.name = name
        self.title = title
        self.suffixes = suffixes
        self._magic = magic

    @property
    def needs(self) -> str | None:
        """How to install what is missing; None when nothing is."""
        return None if importlib.util.find_spec("pyarrow") is not None else _INSTALL

    def sniff(self, head: bytes) -> Sniff:
        """Sure by the first bytes."""
        return Sniff.YES if head.startswith(self._magic) else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki events. Raises UsageError without pyarrow, FormatError for other tables."""
        self._require()
        from mmiotools.formats import arrow_files

        return arrow_files.read_parquet(source) if self.name == "parquet" else arrow_files.read_arrow(source)

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """A writer; `out` may be a pipe. Raises UsageError without pyarrow."""
        self._require()
        from mmiotools.formats import arrow_files

        return (arrow_files.ParquetWriter if self.name == "parquet" else arrow_files.ArrowWriter)(out, header)

    def _require(self) -> None:
        if self.needs is not None:
            raise UsageError(f"format '{self.name}' needs pyarrow, which is not installed: {self.needs}")


PARQUET = ArrowFormat("parquet", "Parquet, one event a row.", (".parquet",), b"PAR1")
ARROW = ArrowFormat("arrow", "Arrow IPC file (Feather), one event a row.", (".arrow", ".feather"), b"ARROW1\0\0")
