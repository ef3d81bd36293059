"""Parquet files and Arrow IPC files of events: writers, and readers that go on behind damage. Needs pyarrow."""

from __future__ import annotations

import tempfile
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from mmiotools.errors import FormatError
from mmiotools.formats.arrow_table import KEY, SCHEMA, Misfit, Tabler, batch_of, check_schema, header_json, header_of
from mmiotools.formats.base import damaged
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import MAX_EVENTS, Batch, Regions, concatenate
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, BinaryIO, Iterator

#: Events in a row group of Parquet, and in a record batch of Arrow.
GROUP = 1 << 17
RECORDS = 1 << 16
#: What begins and ends an Arrow IPC file; the stream in it begins behind so many bytes.
MAGIC = b"ARROW1"
_PADDED = 8
_BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, KeyError, IndexError)


class _Gathering:
    """Gathers batches until there are enough for a piece."""

    _piece: int

    def __init__(self) -> None:
        self._tabler = Tabler()
        self.lost: Counter[str] = self._tabler.lost
        self._held: list[Batch] = []
        self._waiting = 0

    def write(self, batch: Batch) -> None:
        """Append a batch; pieces are written as they fill."""
        if not len(batch):
            return
        self._held.append(batch)
        self._waiting += len(batch)
        if self._waiting >= self._piece:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._put(self._tabler.table(concatenate(self._held)))
        self._held, self._waiting = [], 0

    def _put(self, table: pa.RecordBatch) -> None:
        raise NotImplementedError


class ParquetWriter(_Gathering):
    """A row group every `GROUP` events or so; zstd, with dictionaries."""

    _piece = GROUP

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        super().__init__()
        self._header = header
        self._sink = _Sink(out)
        options: dict[str, Any] = {"compression": "zstd", "store_schema": True, "write_page_checksum": True}
        with self._sink:
            self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, "w"), SCHEMA, **options)

    def close(self) -> None:
        """Write the last row group, the header and the file's table of contents."""
        self._flush()
        self._writer.add_key_value_metadata({KEY: header_json(self._header)})
        with self._sink:
            self._writer.close()

    def _put(self, table: pa.RecordBatch) -> None:
        with self._sink:
            self._writer.write_table(pa.Table.from_batches([table]), row_group_size=len(table))


class ArrowWriter(_Gathering):
    """A file in which each dictionary stands once, before all record batches, as readers want it: so the batches go
    to a temporary file first, until all regions are known.
    """

    _piece = RECORDS

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        super().__init__()
        self._out, self._header = out, header
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - it ends with the writer
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True, compression="lz4")
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._copy, "w"), SCHEMA, options=options)

    def close(self) -> None:
        """Write the file."""
        self._flush()
        self._writer.close()
        self._copy.seek(0)
        schema = SCHEMA.with_metadata({KEY: header_json(self._header)})
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        regions = pa.array(self._tabler.names, pa.string())
        dictionaries: dict[str, pa.Array] = {"region": regions}
        with _Sink(self._out) as sink, pa.ipc.new_file(pa.PythonFile(sink, "w"), schema, options=options) as writer:
            for table in pa.ipc.open_stream(pa.PythonFile(self._copy, "r")):
                columns = []
                for name, column in zip(schema.names, table.columns, strict=True):
                    if pa.types.is_dictionary(column.type):
                        words = dictionaries.setdefault(name, column.dictionary)
                        column = pa.DictionaryArray.from_arrays(column.indices, words)
                    columns.append(column)
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        self._copy.close()

    def _put(self, table: pa.RecordBatch) -> None:
        for start in range(0, len(table), RECORDS):
            self._writer.write_batch(table.slice(start, RECORDS))


class _Sink:
    """A stream that may be a pipe, as pyarrow wants it: it says where it is, and is not closed by it.

    Only while it is entered, anything is written: a writer that was interrupted would end its file as it is deleted.
    """

    closed = False

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._at = 0
        self._entered = False

    def __enter__(self) -> _Sink:
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False

    def write(self, data: Any) -> int:
        """Append bytes."""
        view = memoryview(data)
        if self._entered:
            self._out.write(view)
        self._at += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Bytes written."""
        return self._at

    def flush(self) -> None:
        """The stream's owner does that."""

    def close(self) -> None:
        """So is this."""

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    def seekable(self) -> bool:
        """It may be a pipe."""
        return False


# -- reading ---------------------------------------------------------------------------------------------------


def read_parquet(source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
    """A row group at a time; one that is damaged is a note, and the next is read. Raises FormatError."""
    try:
        held = source.as_file()
        file = pq.ParquetFile(held, pre_buffer=False, page_checksum_verification=True)
        schema = file.schema_arrow
        check_schema(schema)
    except Misfit as error:
        raise FormatError(f"{source.name}: {error}") from error
    except _BROKEN as error:
        why = "is cut off or damaged: the table of contents at the end of a Parquet file is what it is read by"
        raise FormatError(f"{source.name}: {why}") from error
    metadata = dict(file.metadata.metadata or {})
    return header_of(metadata), _row_groups(source, file, held)


def _row_groups(source: ByteSource, file: Any, held: BinaryIO) -> Iterator[Batch]:
    regions = Regions()
    names = [name for name in file.schema_arrow.names if name in SCHEMA.names]
    groups = file.metadata.num_row_groups
    with held:
        for number in range(groups):
            rows = file.metadata.row_group(number).num_rows
            got = 0
            try:
                for table in file.iter_batches(MAX_EVENTS, row_groups=[number], columns=names):
                    table.validate(full=True)
                    got += len(table)
                    if len(table):
                        yield batch_of(table, regions)
            except _BROKEN as error:
                why = f"row group {number} is damaged: {_one_line(error)}"
                yield Batch.from_events([damaged(why, events=max(rows - got, 0))], regions)
            if source.size is not None:
                source.consumed = source.size * (number + 1) // groups


def read_arrow(source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
    """The stream of record batches, in a file or alone, from a pipe too. A file whose stream does not begin with the
    schema, as those of Polars, is read by its end. Raises FormatError.
    """
    in_file = source.head.startswith(MAGIC)
    try:
        if in_file and not _begins_with_schema(source.head[_PADDED:]):
            held = source.as_file()
            reader = pa.ipc.open_file(held)
            batches = _by_number(reader, held, source)
        else:
            raw = _Raw(source)
            if in_file:
                raw.read(_PADDED)
            reader = pa.ipc.open_stream(pa.PythonFile(raw, "r"))
            batches = _records(reader, raw, in_file)
        check_schema(reader.schema)
    except Misfit as error:
        raise FormatError(f"{source.name}: {error}") from error
    except _BROKEN as error:
        raise FormatError(f"{source.name}: is cut off or damaged before any event: {_one_line(error)}") from error
    return header_of(reader.schema.metadata), batches


def _begins_with_schema(head: bytes) -> bool:
    try:
        pa.ipc.open_stream(pa.py_buffer(head))
    except _BROKEN:
        return False
    return True


def _by_number(reader: Any, held: BinaryIO, source: ByteSource) -> Iterator[Batch]:
    """The record batches of a file's footer."""
    regions = Regions()
    with held:
        for number in range(reader.num_record_batches):
            try:
                yield from _checked(reader.get_batch(number), regions)
            except _BROKEN as error:
                yield Batch.from_events([damaged(f"record batch {number} is damaged: {_one_line(error)}")], regions)
            if source.size is not None:
                source.consumed = source.size * (number + 1) // reader.num_record_batches


def _checked(table: pa.RecordBatch, regions: Regions) -> list[Batch]:
    table.validate(full=True)
    table = pa.RecordBatch.from_arrays([_not_viewed(column) for column in table.columns], table.schema.names)
    return [batch_of(table.slice(start, MAX_EVENTS), regions) for start in range(0, len(table), MAX_EVENTS)]


def _not_viewed(column: Any) -> Any:
    """The same texts, or bytes, one behind the other: of views, pyarrow knows little."""
    if pa.types.is_dictionary(column.type):
        words = _not_viewed(column.dictionary)
        return column if words is column.dictionary else pa.DictionaryArray.from_arrays(column.indices, words)
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column.cast(pa.binary()) if pa.types.is_binary_view(column.type) else column


def _records(reader: Any, raw: _Raw, in_file: bool) -> Iterator[Batch]:
    regions = Regions()
    while True:
        at = raw.at
        try:
            batches = _checked(reader.read_next_batch(), regions)
        except StopIteration:
            break
        except _BROKEN as error:
            yield Batch.from_events([damaged(f"a record batch is damaged: {_one_line(error)}", offset=at)], regions)
            return
        yield from batches
    if in_file and not raw.ends_with(MAGIC):
        yield Batch.from_events([damaged("the file was cut off: its end is missing", events=0, offset=raw.at)], regions)


class _Raw:
    """The input as pyarrow wants it, read from front to back."""

    closed = False

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._rest = b""
        self.at = 0

    def read(self, n: int = -1) -> bytes:
        """Exactly n bytes, fewer at the end."""
        parts = [self._rest]
        have = len(self._rest)
        while (n < 0 or have < n) and (more := self._source.read()):
            parts.append(more)
            have += len(more)
        data = b"".join(parts)
        n = len(data) if n < 0 else n
        self._rest = data[n:]
        self.at += len(data[:n])
        return data[:n]

    def ends_with(self, end: bytes) -> bool:
        """Read on to the end of the input, and say whether it ends like this."""
        last = b""
        while data := self.read(1 << 16):
            last = (last + data)[-len(end) :]
        return last == end

    def close(self) -> None:
        """The source's owner does that."""

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is not."""
        return False

    def seekable(self) -> bool:
        """It may be a pipe."""
        return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
