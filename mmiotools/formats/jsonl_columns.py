"""Objects of JSON Lines into columns: every field is checked, and a row that proves bad becomes a damaged NOTE."""

from __future__ import annotations

from types import NoneType

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.base import damaged
from mmiotools.formats.jsonl_fields import Unfit, decode_extra, is_text, parse_hex
from mmiotools.formats.jsonl_lines import KEPT, KIND
from mmiotools.trace.batch import DTYPES, EOL_NAMES, Array, Batch, Column, Regions, pack_opcode
from mmiotools.typed import Any

FAMILY = "mmiotools.trace/"
SCHEMA = FAMILY + "1"
KINDS = {kind.name: int(kind) for kind in Kind}

#: A parsed line. Beside its string keys it may hold _READY.
Object = dict[Any, Any]
#: JSON key → column and the range of its integers.
_INTEGERS = {
    "time_ns": ("time", -(1 << 63), (1 << 63) - 1),
    "width": ("width", 0, 255),
    "map": ("map", -(1 << 63), (1 << 63) - 1),
    "pid": ("pid", -(1 << 63), (1 << 63) - 1),
    "cpu": ("cpu", -(1 << 31), (1 << 31) - 1),
}
_HEXES = ("addr", "offset", "value", "pc", "mr")
#: Key of extras that need no decoding; no JSON key equals it.
_READY = None
_INT_OR_NONE = {int, NoneType}
_STR_OR_NONE = {str, NoneType}


def damage(reason: str, line: bytes, number: int, events: int) -> Object:
    """A damaged NOTE, as an object whose extras are ready."""
    note = damaged(reason, text=line[:KEPT], events=events, line=number)
    return {"kind": "NOTE", _READY: dict(note.extra)}


class Columns:
    """The rows of one batch on their way from objects to columns. Rows that prove bad become damaged NOTEs."""

    def __init__(self, objects: list[Object], lines: list[bytes], numbers: list[int], regions: Regions) -> None:
        self._objects = objects
        self._lines = lines
        self._numbers = numbers
        self._regions = regions
        self._bad: dict[int, str] = {}
        self._columns: dict[str, Column] = {}
        self._extras: dict[int, dict[str, Any]] = {}

    def batch(self) -> Batch:
        """The batch; the objects are used up."""
        objects = self._objects
        kinds = self._kinds()
        keys = set().union(*objects) if objects else set()
        for key, (name, low, high) in _INTEGERS.items():
            if key in keys:
                self._integers(key, name, low, high)
        for key in _HEXES:
            if key in keys:
                self._hexes(key)
        if "opcode" in keys:
            self._opcodes()
        if "eol" in keys:
            self._eols()
        if "region" in keys or "space" in keys:
            self._region_names()
        for row, found in enumerate(objects):
            if found:
                self._rest(row, found)
        for row, reason in self._bad.items():
            kinds[row] = Kind.NOTE
            note = damage(reason, self._lines[row], self._numbers[row], max(1, self._lines[row].count(KIND)))
            self._extras[row] = note[_READY]
        if self._bad:
            self._clear(list(self._bad))
        extras = dict(sorted(self._extras.items()))
        return Batch(np.array(kinds, np.uint8), self._columns, extras, self._regions)

    def _kinds(self) -> list[int]:
        kinds = []
        for row, found in enumerate(self._objects):
            kind = found.pop("kind", None)
            code = KINDS.get(kind) if type(kind) is str else None
            if code is None:
                code = self._unknown_kind(row, kind, found)
            kinds.append(code)
        return kinds

    def _unknown_kind(self, row: int, kind: object, found: Object) -> int:
        """A schema line of a concatenated file, a kind of a later release, or damage."""
        if kind is None and isinstance(found.get("schema"), str):
            schema = found["schema"]
            if schema.split(".")[:2] != SCHEMA.split("."):
                self._bad[row] = "a schema line of another version"
            found.pop("schema")
            inner: Object = {key: found[key] for key in ("clock", "time_digits", "meta") if key in found}
            found.clear()
            found.update({"format": "jsonl", "version": schema, **inner})
            return Kind.HEADER
        if isinstance(kind, str) and kind and not _nearly_known(kind):
            found.clear()
            found[_READY] = {"text": self._lines[row], "dialect": "jsonl"}
            return Kind.NOTE
        self._bad[row] = "an object without a kind" if kind is None else "the kind is damaged"
        return Kind.NOTE

    def _add(self, name: str, data: Array, values: list[Any]) -> None:
        present = None if None not in values else np.fromiter((v is not None for v in values), np.bool_, len(values))
        self._columns[name] = Column(data, present)

    def _integers(self, key: str, name: str, low: int, high: int) -> None:
        values = [found.pop(key, None) for found in self._objects]
        if not set(map(type, values)) <= _INT_OR_NONE:
            self._reject(values, lambda v: v is None or type(v) is int, f"'{key}' is no integer")
        numbers = [0 if v is None else v for v in values] if None in values else values
        if numbers and (min(numbers) < low or max(numbers) > high):
            self._reject(values, lambda v: v is None or low <= v <= high, f"'{key}' is out of range")
            numbers = [v or 0 for v in values]
        self._add(name, np.array(numbers, DTYPES[name]), values)

    def _hexes(self, key: str) -> None:
        values = [found.pop(key, None) for found in self._objects]
        if not set(map(type, values)) <= _STR_OR_NONE:
            self._reject(values, lambda v: v is None or type(v) is str, f"'{key}' is no string")
        table: dict[str | None, int] = {None: 0}
        for text in set(values):
            if text is not None:
                table[text] = _hex_or_negative(text, wide=key == "value")
        if min(table.values()) < 0:
            self._reject(values, lambda v: table[v] >= 0, f"'{key}' is no hexadecimal number in range")
        if max(table.values()) >> 64:
            for row, text in enumerate(values):
                if table[text] >> 64:
                    self._extras.setdefault(row, {})[key] = table[text]
                    values[row] = None
        self._add(key, np.array([table[v] for v in values], np.uint64), values)

    def _opcodes(self) -> None:
        values = [found.pop("opcode", None) for found in self._objects]
        self._reject(values, lambda v: v is None or type(v) is str, "'opcode' is no string")
        table: dict[str | None, int] = {None: 0}
        for text in set(values):
            if text is not None:
                opcode = _opcode_or_none(text)
                table[text] = -1 if opcode is None else pack_opcode(opcode) if len(opcode) <= 7 else -2
        self._reject(values, lambda v: table[v] != -1, "'opcode' is no hexadecimal bytes")
        for row, text in enumerate(values):
            if table[text] == -2:
                self._extras.setdefault(row, {})["opcode"] = bytes.fromhex(text)
                values[row] = None
        self._add("opcode", np.array([table[v] for v in values], np.uint64), values)

    def _eols(self) -> None:
        values = [found.pop("eol", None) for found in self._objects]
        self._reject(values, lambda v: v is None or (type(v) is str and v in EOL_NAMES), "'eol' is no line end")
        self._columns["eol"] = Column(np.array([EOL_NAMES.index(v or "lf") for v in values], DTYPES["eol"]))

    def _region_names(self) -> None:
        names = [found.pop("region", None) for found in self._objects]
        spaces = [found.pop("space", None) for found in self._objects]
        self._reject(names, lambda v: v is None or is_text(v), "'region' is no string")
        self._reject(spaces, lambda v: v is None or is_text(v), "'space' is no string")
        codes = [
            None if name is None else self._regions.code(name, space or "mem")
            for name, space in zip(names, spaces, strict=True)
        ]
        self._add("region", np.array([code or 0 for code in codes], np.uint32), codes)

    def _rest(self, row: int, found: Object) -> None:
        """The keys of one object that are no columns."""
        ready = found.pop(_READY, None)
        if ready is not None:
            self._extras[row] = ready
            return
        try:
            extra = decode_extra(found)
            if "col" in found:
                self._unknown_columns(row, found["col"])
        except (Unfit, RecursionError) as error:
            self._bad.setdefault(row, str(error) if isinstance(error, Unfit) else "nested too deep")
            return
        if extra:
            self._extras.setdefault(row, {}).update(extra)

    def _unknown_columns(self, row: int, found: object) -> None:
        if not isinstance(found, dict):
            raise Unfit("'col' is no object")
        for name, pair in found.items():
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[1]) is not int or name in DTYPES:
                raise Unfit("'col' is malformed")
            if pair[0] not in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
                raise Unfit("'col' is of an unknown type")
            column = self._columns.get(name)
            if column is None:
                n = len(self._objects)
                column = self._columns[name] = Column(np.zeros(n, pair[0]), np.zeros(n, np.bool_))
            try:
                column.data[row] = pair[1]
            except OverflowError as error:
                raise Unfit("'col' is out of range") from error
            assert column.present is not None
            column.present[row] = True

    def _reject(self, values: list[Any], good: Any, reason: str) -> None:
        """Rows whose value is not `good` become damage; their value is taken away."""
        for row, value in enumerate(values):
            if not good(value):
                self._bad.setdefault(row, reason)
                values[row] = None

    def _clear(self, rows: list[int]) -> None:
        """Take every field from rows that became notes."""
        for name, column in list(self._columns.items()):
            column.data[rows] = 0
            if name == "eol":
                continue
            present = np.ones(len(column.data), np.bool_) if column.present is None else column.present
            present[rows] = False
            if present.any():
                self._columns[name] = Column(column.data, present)
            else:
                del self._columns[name]


def _hex_or_negative(text: str, wide: bool) -> int:
    try:
        number = parse_hex(text)
    except Unfit:
        return -1
    return number if wide or number < 1 << 64 else -1


def _opcode_or_none(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if text.isalnum() or not text else None
    except ValueError:
        return None


def _nearly_known(kind: str) -> bool:
    """Whether one changed character separates a kind from a known one: that is damage, not a later release."""
    return any(
        len(kind) == len(known) and sum(a != b for a, b in zip(kind, known, strict=True)) == 1 for known in KINDS
    )
