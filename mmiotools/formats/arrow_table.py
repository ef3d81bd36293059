"""Batches ↔ tables of Arrow: the schema, and both directions, a column at a time. Needs pyarrow."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa

from mmiotools.events import Kind
from mmiotools.formats.jsonl_fields import Unfit, decode_extra, encode_extra, parse_hex, tag, untag
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import DTYPES, EOL_NAMES, Batch, Column, Regions, pack_opcode, unpack_opcode
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.in_c import json_text
from mmiotools.typed import Any, Mapping, NDArray

#: Key of the metadata that holds the header, as JSON; and what its "schema" says.
KEY = "mmiotools"
SCHEMA_NAME = "mmiotools.table/1"

#: Columns that are plain numbers, in the order of the table's; `None` stands where another sort comes in between.
_NUMBERS = {
    "time": pa.int64(),
    "width": pa.uint8(),
    "map": pa.int64(),
    "addr": pa.uint64(),
    "offset": pa.uint64(),
    "value": pa.uint64(),
    "pc": pa.uint64(),
    "pid": pa.int64(),
    "cpu": pa.int32(),
}
_FEW = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("kind", _FEW, nullable=False),
        ("time", pa.int64()),
        ("width", pa.uint8()),
        ("map", pa.int64()),
        ("addr", pa.uint64()),
        ("region", pa.dictionary(pa.int32(), pa.string())),
        ("space", _FEW),
        ("offset", pa.uint64()),
        pa.field("named", pa.bool_(), nullable=False),
        ("value", pa.uint64()),
        ("pc", pa.uint64()),
        ("pid", pa.int64()),
        ("cpu", pa.int32()),
        ("opcode", pa.binary()),
        ("virt", pa.uint64()),
        ("length", pa.uint64()),
        ("text", pa.string()),
        ("eol", _FEW),
        ("extra", pa.string()),
    ]
)
_KINDS = pa.array([kind.name for kind in Kind])
_KIND_NUMBERS = {kind.name: int(kind) for kind in Kind}
_EOLS = pa.array(EOL_NAMES)
_SPACES = ("mem", "virt", "port", "config", "reg", "msr")
#: Most bytes of an opcode that a column has room for.
_SHORT = 7
_U64 = (1 << 64) - 1


class Tabler:
    """Makes record batches of batches. The dictionary of regions grows from one to the next; codes stay."""

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._spaces = list(_SPACES)
        self._addresses = AddressMap()
        #: Code of the address map → index of the name, and of the space.
        self._table = np.zeros((2, 0), np.int32)

    def table(self, batch: Batch) -> pa.RecordBatch:
        """A row an event."""
        made: dict[str, pa.Array] = {
            "kind": pa.DictionaryArray.from_arrays(pa.array(batch.kind.astype(np.int8)), _KINDS)
        }
        for name, kind in _NUMBERS.items():
            if name != "offset":
                made[name] = _numbers(batch.data(name), batch.present(name), kind)
        self._places(batch, made)
        made["opcode"] = _opcodes(batch)
        eol = batch.data("eol")
        made["eol"] = pa.DictionaryArray.from_arrays(pa.array(eol.astype(np.int8), mask=eol == 0), _EOLS)
        self._extras(batch, made)
        for name in batch.columns:
            if name not in DTYPES:
                self.lost[f"column '{name}'"] += int(np.count_nonzero(batch.present(name)))
        return pa.RecordBatch.from_arrays([made[name] for name in SCHEMA.names], schema=SCHEMA)

    def _places(self, batch: Batch, made: dict[str, pa.Array]) -> None:
        """Region, space and offset: as the source says them, else as the address map does, for accesses."""
        resolved = self._addresses.resolve(batch)
        found_at = self._addresses.regions[self._table.shape[1] :]
        if found_at:
            more = [self._place(region.name, region.space) for region in found_at]
            self._table = np.concatenate([self._table, np.array(more, np.int32).T], axis=1)
        has_region, has_offset = batch.present("region"), batch.present("offset")
        named = has_region | has_offset
        found = batch.accesses & (resolved.region >= 0)
        there = np.where(named, has_region, found)
        places = np.zeros((2, len(batch)), np.int32)
        places[:, found] = self._table[:, resolved.region[found]]
        if has_region.any():
            own = [self._place(*pair) for pair in zip(batch.regions.names, batch.regions.spaces, strict=True)]
            places[:, has_region] = np.array(own, np.int32).T[:, batch.data("region")[has_region]]
        names = pa.array(self.names, pa.string())
        made["region"] = pa.DictionaryArray.from_arrays(pa.array(places[0], mask=~there), names)
        made["space"] = pa.DictionaryArray.from_arrays(
            pa.array(places[1].astype(np.int8), mask=~there), pa.array(self._spaces)
        )
        offset = np.where(named, batch.data("offset"), resolved.offset)
        made["offset"] = _numbers(offset, np.where(named, has_offset, found), pa.uint64())
        made["named"] = pa.array(named)

    def _place(self, name: str, space: str) -> tuple[int, int]:
        """Numbers of a region's name and of its space."""
        number = self._numbers.setdefault(name, len(self._numbers))
        if number == len(self.names):
            self.names.append(name)
        if space not in self._spaces:
            self._spaces.append(space)
        return number, self._spaces.index(space)

    def _extras(self, batch: Batch, made: dict[str, pa.Array]) -> None:
        """What is rare: `virt`, `length` and `text` have columns, all else is JSON as in JSON Lines."""
        n = len(batch)
        made["extra"] = _memory_regions(batch)
        if not batch.extras:
            for name in ("virt", "length", "text"):
                made[name] = pa.nulls(n, SCHEMA.field(name).type)
            return
        columns: dict[str, list[Any]] = {name: [None] * n for name in ("virt", "length", "text")}
        columns["extra"] = made["extra"].to_pylist()
        for row, extra in batch.extras.items():
            rest = {}
            for name, item in extra.items():
                if name in ("virt", "length") and type(item) is int and 0 <= item <= _U64:
                    columns[name][row] = item
                elif name == "text" and isinstance(item, bytes) and _is_utf8(item):
                    columns[name][row] = item.decode()
                else:
                    rest[name] = item
            if rest:
                before, text = columns["extra"][row], json_text(encode_extra(rest))
                columns["extra"][row] = text if before is None else f"{before[:-1]},{text[1:]}"
        for name, items in columns.items():
            made[name] = pa.array(items, SCHEMA.field(name).type)


def _numbers(data: NDArray[Any], present: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    return pa.array(data, kind) if present.all() else pa.array(data, kind, mask=~present)


def _opcodes(batch: Batch) -> pa.Array:
    if "opcode" not in batch.columns:
        return pa.nulls(len(batch), pa.binary())
    codes, which = np.unique(batch.data("opcode"), return_inverse=True)
    words = pa.array([unpack_opcode(code) for code in codes.tolist()], pa.binary())
    return words.take(pa.array(which.astype(np.int32), mask=~batch.present("opcode")))


def _memory_regions(batch: Batch) -> pa.Array:
    """QEMU's memory regions as the `extra` of their rows."""
    column = batch.columns.get("mr")
    if column is None:
        return pa.nulls(len(batch), pa.string())
    numbers, which = np.unique(column.data, return_inverse=True)
    words = pa.array([f'{{"mr":"{number:#x}"}}' for number in numbers.tolist()], pa.string())
    return words.take(pa.array(which.astype(np.int32), mask=~batch.present("mr")))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


# -- and back --------------------------------------------------------------------------------------------------


class Misfit(ValueError):
    """A table that is none of a trace: what is wrong, in words."""


def check_schema(schema: pa.Schema) -> None:
    """Raises Misfit when the columns are not those of a trace. All but `kind` may be missing; others are ignored."""
    if "kind" not in schema.names:
        raise Misfit("is no trace: it has no column 'kind'")
    if len(set(schema.names)) != len(schema.names):
        raise Misfit("is no trace: two columns have one name")
    for field in schema:
        if field.name not in SCHEMA.names:
            continue
        wanted, given = SCHEMA.field(field.name).type, field.type
        if pa.types.is_dictionary(given):
            given = given.value_type
        if pa.types.is_dictionary(wanted):
            wanted = wanted.value_type
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        bytes_ = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
        for tests, sort in ((texts, pa.types.is_string), (bytes_, pa.types.is_binary)):
            if sort(wanted) and not any(test(given) for test in tests):
                raise Misfit(f"is no trace: column '{field.name}' holds {given}, not {wanted}")
        if pa.types.is_integer(wanted) and not (pa.types.is_integer(given) or pa.types.is_decimal(given)):
            raise Misfit(f"is no trace: column '{field.name}' holds {given}, not {wanted}")
        if pa.types.is_boolean(wanted) and not pa.types.is_boolean(given):
            raise Misfit(f"is no trace: column '{field.name}' holds {given}, not {wanted}")


def batch_of(table: pa.RecordBatch, regions: Regions) -> Batch:
    """The events of a table whose schema was checked. Raises what pyarrow does for values that do not fit."""
    n = table.num_rows
    held = {name: table.column(name) for name in table.schema.names if name in SCHEMA.names}
    columns: dict[str, Column] = {}
    for name, kind in _NUMBERS.items():
        if name in held and name != "offset":
            _put(columns, name, _column(held[name], kind, name))
    named = np.zeros(n, np.bool_)
    if "named" in held:
        named = np.asarray(held["named"].fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
    if named.any():
        _named(held, named, columns, regions)
    long_opcodes = _put_opcodes(columns, held["opcode"]) if "opcode" in held else {}
    if "eol" in held:
        codes, present, words = _words(held["eol"])
        table_of_ends = np.array([EOL_NAMES.index(word) if word in EOL_NAMES else 0 for word in words] or [0], np.uint8)
        if present.any():
            columns["eol"] = Column(np.where(present, table_of_ends[codes], 0).astype(np.uint8))
    codes, present, words = _words(held["kind"])
    numbers = np.array([_KIND_NUMBERS.get(word, 255) for word in words] or [255], np.uint8)
    kinds = np.where(present, numbers[codes], 255).astype(np.uint8)
    extras, broken = _decoded_extras(held, n)
    _put_memory_regions(columns, extras, n)
    if "opcode" in columns or long_opcodes:
        _settle_opcodes(columns.get("opcode"), long_opcodes, extras)
    kinds[broken] = Kind.NOTE  # what is damaged is looked for among the notes
    for row in flatnonzero(kinds == 255).tolist():
        kinds[row] = Kind.NOTE
        what = f"an event of an unknown kind '{words[codes[row]][:40]}'" if present[row] else "an event without a kind"
        extras[row] = {**extras.get(row, {}), "damaged": True, "reason": what, "events": 1}
    return Batch(kinds, columns, extras, regions)


def _column(array: pa.Array, kind: pa.DataType, name: str) -> Column:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type != kind:
        array = array.cast(kind)
    present = None if not array.null_count else np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    data = (
        array.fill_null(0).to_numpy(zero_copy_only=False) if array.null_count else array.to_numpy(zero_copy_only=False)
    )
    return Column(data.astype(DTYPES.get(name, data.dtype), copy=False), present)


def _put(columns: dict[str, Column], name: str, column: Column) -> None:
    if column.present is None or column.present.any():
        columns[name] = column


def _words(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[str]]:
    """A column of few different texts: the code of each row, whether it has one, and the texts."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    codes = array.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    words = array.dictionary.to_pylist()
    # A dictionary may hold a null.
    absent = np.array([word is None for word in words] or [True], np.bool_)
    return codes, present & ~absent[codes], [word or "" for word in words]


def _named(
    held: Mapping[str, pa.Array], named: NDArray[np.bool_], columns: dict[str, Column], regions: Regions
) -> None:
    """Regions and offsets that the source itself gave; those that were found by address are not events' own."""
    if "region" in held:
        codes, present, words = _words(held["region"])
        spaces = np.full(len(named), "mem", object)
        if "space" in held:
            which, there, names = _words(held["space"])
            spaces = np.where(there, np.array([*names, ""], object)[which], "mem")
        there = named & present
        data = np.zeros(len(named), np.uint32)
        for code in distinct(codes[there]).tolist():
            rows = there & (codes == code)
            space = str(spaces[flatnonzero(rows)[0]])
            data[rows] = regions.code(words[code], space if space in _SPACES else "mem")
        if there.any():
            columns["region"] = Column(data, None if there.all() else there)
    if "offset" in held:
        offset = _column(held["offset"], pa.uint64(), "offset")
        there = named if offset.present is None else named & offset.present
        if there.any():
            columns["offset"] = Column(np.where(there, offset.data, np.uint64(0)), None if there.all() else there)


def _put_opcodes(columns: dict[str, Column], array: pa.Array) -> dict[int, bytes]:
    """The column of opcodes; what is too long for it, by row."""
    if array.null_count == len(array):
        return {}
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    encoded = array.cast(pa.binary()).dictionary_encode()
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    words = encoded.dictionary.to_pylist()
    fits = np.array([len(word) <= _SHORT for word in words], np.bool_)
    numbers = np.array([pack_opcode(word) if len(word) <= _SHORT else 0 for word in words], np.uint64)
    long = flatnonzero(present & ~fits[codes]).tolist()
    present &= fits[codes]
    data = np.where(present, numbers[codes], np.uint64(0))
    _put(columns, "opcode", Column(data, None if present.all() else present))
    return {row: words[codes[row]] for row in long}


def _settle_opcodes(column: Column | None, long: dict[int, bytes], extras: dict[int, dict[str, Any]]) -> None:
    """What the column of opcodes says counts, and not what a row says besides."""
    for row, extra in extras.items():
        if "opcode" in extra and column is not None and (column.present is None or column.present[row]):
            del extra["opcode"]
    for row, word in long.items():
        extras.setdefault(row, {})["opcode"] = word


def _put_memory_regions(columns: dict[str, Column], extras: dict[int, dict[str, Any]], n: int) -> None:
    """Those of QEMU have a column of their own in a batch, and none in a table."""
    rows = [row for row, extra in extras.items() if "mr" in extra]
    if rows:
        data, present = np.zeros(n, DTYPES["mr"]), np.zeros(n, np.bool_)
        data[rows] = np.array([extras[row].pop("mr") for row in rows], DTYPES["mr"])
        present[rows] = True
        columns["mr"] = Column(data, None if len(rows) == n else present)
        for row in rows:
            if not extras[row]:
                del extras[row]


def _decoded_extras(held: Mapping[str, pa.Array], n: int) -> tuple[dict[int, dict[str, Any]], list[int]]:
    """The extras, and the rows whose cannot be read."""
    extras: dict[int, dict[str, Any]] = {}
    broken = []
    known: dict[str, dict[str, Any] | str] = {}
    for name in ("extra", "virt", "length", "text"):
        array = held.get(name)
        if array is None or array.null_count == n:
            continue
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        rows = flatnonzero(array.is_valid().to_numpy(zero_copy_only=False)).tolist()
        for row, item in zip(rows, array.drop_null().to_pylist(), strict=True):
            extra = extras.setdefault(row, {})
            if name == "extra":
                if item not in known:
                    known[item] = _decoded(item)
                found = known[item]
                if isinstance(found, str):
                    found = {"damaged": True, "reason": found, "events": 1}
                    broken.append(row)
                extra.update(found)
            elif name == "text":
                extra["text"] = item.encode()
            else:
                extra[name] = int(item)
    return extras, broken


def _decoded(text: str) -> dict[str, Any] | str:
    """The extras that JSON spells, or why it does not."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise Unfit("no object")
        numbers = {name: parse_hex(found.pop(name)) for name in ("value", "mr") if name in found}
        if numbers.get("mr", 0) > _U64:
            raise Unfit("'mr' has more than 64 bits")
        return decode_extra(found) | numbers
    except (ValueError, RecursionError) as error:
        return f"column 'extra' cannot be read: {error}"[:200]


def header_json(header: TraceHeader) -> str:
    """The header as the metadata of a table."""
    about = {
        "schema": SCHEMA_NAME,
        "format": header.format,
        "clock": header.clock,
        "time_digits": header.time_digits,
        "meta": tag(header.meta),
    }
    return json_text(about)


def header_of(metadata: Mapping[bytes, bytes] | None) -> TraceHeader:
    """The header that the metadata of a table holds; what it lacks takes its default."""
    header = TraceHeader()
    try:
        about = json.loads((metadata or {}).get(KEY.encode(), b"{}"))
        meta = untag(about.get("meta", {})) if isinstance(about, dict) else {}
    except (ValueError, RecursionError):
        return header
    if not isinstance(about, dict):
        return header
    for name, kind in (("format", str), ("clock", str), ("time_digits", int)):
        if isinstance(about.get(name), kind):
            setattr(header, name, about[name])
    header.time_digits = min(max(header.time_digits, 0), 9)
    header.meta = meta if isinstance(meta, dict) else {}
    return header
