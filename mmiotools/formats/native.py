"""The native format, `.mmio`: the format object. Layout, columns, writing and reading have a module each."""

from __future__ import annotations

from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.native_magic import MAGIC, SYNC
from mmiotools.formats.source import ByteSource
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import TYPE_CHECKING, BinaryIO, ClassVar, Iterator

if TYPE_CHECKING:
    from mmiotools.formats.native_write import NativeWriter
    from mmiotools.trace.batch import Batch


class Native:
    """Blocks of columns, each column compressed and checked on its own."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "native"
    title: ClassVar[str] = "The native format: compressed columns in checked blocks."
    suffixes: ClassVar[tuple[str, ...]] = (".mmio",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING
    binary: ClassVar[bool] = True
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """Sure by the magic; likely when that is damaged but a block's sync mark is there."""
        if head.startswith(MAGIC):
            return Sniff.YES
        return Sniff.LIKELY if SYNC in head else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """One batch a block. Raises FormatError for a newer major version."""
        # Imported only now, as every input is shown to this format first.
        from mmiotools.formats.native_open import NativeBatches

        batches = NativeBatches(source)
        return batches.header, batches

    def writer(self, out: BinaryIO, header: TraceHeader) -> NativeWriter:
        """Blocks onto `out`, which may be a pipe."""
        from mmiotools.formats.native_write import NativeWriter

        return NativeWriter(out, header)


FORMAT = Native()
