"""Blocks in the compiled engine, and in plain Python: what these make of them is what they say, whatever that is."""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import zstandard

from mmiotools.events import Event, Kind
from mmiotools.filters.grammar import parse
from mmiotools.filters.program import compiled_steps
from mmiotools.formats import native_plain
from mmiotools.formats.mmiotrace_render import render
from mmiotools.formats.native_columns import Presence
from mmiotools.formats.native_decode import dictionary
from mmiotools.formats.native_late import NONSENSE
from mmiotools.formats.native_layout import ADDRESS, CONSTANT, DELTA, DICTIONARY, PLACES, PLAIN, SHARED, pack, unpack
from mmiotools.formats.native_planes import split, zigzag
from mmiotools.formats.native_shared import rows_of, stored_column
from mmiotools.formats.native_stored import BITS, WRONG
from mmiotools.formats.native_zstd import expand_whole
from mmiotools.speed import compiled

needs_engine = pytest.mark.skipif(compiled() is None, reason="the compiled engine was not built")
#: Columns of a block: numbers, None for a row without.
Columns = dict[str, list[int | None]]
_squeeze = zstandard.ZstdCompressor().compress


@pytest.fixture(params=["compiled", "plain"])
def fast(request: pytest.FixtureRequest) -> Any:
    """Either of the two."""
    if request.param == "plain":
        return native_plain
    return compiled() or pytest.skip("the compiled engine was not built")


def planes(numbers: Any, apart: bool) -> Any:
    """Byte planes of natural numbers, each a frame or all of them one."""
    found = [bytes(plane) for plane in split(np.array(numbers, np.uint64))]
    return [_squeeze(plane) for plane in found] if apart or not found else _squeeze(b"".join(found))


def natural(numbers: list[int], signed: bool) -> list[int]:
    """As planes have them."""
    return zigzag(np.array(numbers, np.int64)).tolist() if signed else numbers


def column(name: str, numbers: list[int], encoding: int, apart: bool, addresses: list[int]) -> tuple[Any, bytes]:
    """The parameter and the payload of a column in an encoding."""
    if encoding == CONSTANT:
        return numbers[0], b""
    if encoding == DELTA:
        steps = np.diff(np.array([0, *numbers], np.int64) // 1000)
        small = [int(step) if 0 <= step < 255 else 255 for step in steps]
        large = [int(step) for step in steps if not 0 <= step < 255]
        parts: dict[str, Any] = {"v": _squeeze(bytes(small))}
        if large:
            parts["z"] = planes(natural(large, True), apart)
        return [0, 1000], pack(parts)
    codes, parts = natural(numbers, BITS[name] < 0), {}
    if encoding == DICTIONARY:
        words = sorted(set(codes))
        parts["k"] = [len(words), planes(words, apart)]
        codes = [words.index(code) for code in codes]
    elif encoding == ADDRESS:
        codes = [addresses.index(number) for number in numbers]
    parts["v"] = planes(codes, apart)
    return None, pack(parts)


def together(n: int, columns: Columns) -> tuple[list[int], dict[str, list[int]]]:
    """The place of each row among the distinct ones, and what columns have for these; gaps have any number."""
    filled = {
        name: [next(x for x in numbers if x is not None) if number is None else number for number in numbers]
        for name, numbers in columns.items()
    }
    rows = list(zip(*filled.values(), strict=True))
    distinct = sorted(set(rows), key=lambda row: hash(row) % 1009)
    places = {row: place for place, row in enumerate(distinct)}
    return [places[row] for row in rows], {name: [row[at] for row in distinct] for at, name in enumerate(filled)}


def block(n: int, columns: Columns, encodings: dict[str, int], apart: bool = True) -> tuple[Any, Any]:
    """Head and body, as objects. An encoding of SHARED and more is that of a shared column."""
    directory, body, presence = {}, {}, Presence()
    shared = {name: encoding - SHARED for name, encoding in encodings.items() if encoding > SHARED}
    places, distinct = together(n, {name: columns[name] for name in shared})
    if shared:
        payload = pack({"v": planes(places, apart)})
        directory["places"], body["places"] = [PLACES, 16, len(payload), zlib.crc32(payload), len(set(places))], payload
    found = {number for number in columns.get("addr", []) if number is not None}
    often = sorted(number for number in found if number % 3 == 0)
    others = sorted(found.difference(often))
    addresses = often + others
    for name, numbers in columns.items():
        held = [number for number in numbers if number is not None]
        encoding, parameter = encodings[name], None
        if name in shared:
            _, payload = column(name, distinct[name], shared[name], apart, addresses)
            encoding, parameter = SHARED, shared[name]
        else:
            parameter, payload = column(name, held, encoding, apart, addresses)
        bitmap = [presence.number(np.array([number is not None for number in numbers]))] if len(held) < n else []
        directory[name] = [encoding, BITS[name], len(payload), zlib.crc32(payload), parameter, *bitmap]
        if payload:
            body[name] = payload
    head: dict[str, Any] = {"n": n, "zone": {"kinds": 7}, "columns": directory}
    if addresses:
        steps = [b - a for part in (often, others) for a, b in pairwise([0, *part])]
        head["addresses"] = [len(addresses), planes(steps, apart), *([len(often)] if often and others else [])]
    if presence.packed:
        head["present"] = presence.packed
    return head, body


def opened(engine: Any, n: int, head: Any, body: Any) -> Any:
    """The block that these are."""
    return engine.read_parts(pack(head), pack(body), n, 1, expand_whole, zlib.crc32)


def some(rng: random.Random, n: int, gaps: bool) -> tuple[Columns, dict[str, int]]:
    """Columns of a block, and an encoding for each."""
    columns: Columns = {"kind": [rng.randrange(3) for _ in range(n)]}
    encodings = {"kind": rng.choice((PLAIN, DICTIONARY))}
    for name, bits in BITS.items():
        if name == "kind" or rng.random() < 0.2:
            continue
        low, high = (0, 1 << bits) if bits > 0 else (-1 << -bits - 1, 1 << -bits - 1)
        few = [rng.choice((low, high - 1, rng.randrange(low, high), 5, 3)) for _ in range(rng.choice((1, 3, 400)))]
        many = [rng.choice(few) for _ in range(n)]
        encodings[name] = rng.choice((PLAIN, DICTIONARY, *([ADDRESS] if name == "addr" else [])))
        if name == "time":
            many = np.cumsum([rng.choice((0, 1, 254, 255, 10**6, -3)) * 1000 for _ in range(n)]).tolist()
            encodings[name] = DELTA
        if len(set(many)) == 1:
            encodings[name] = CONSTANT
        columns[name] = [None if gaps and i and rng.random() < 0.3 else many[i] for i in range(n)]
    if rng.random() < 0.6:
        kinds = (PLAIN, DICTIONARY, ADDRESS)
        encodings = {name: e + SHARED * (e in kinds and rng.random() < 0.7) for name, e in encodings.items()}
    return columns, encodings


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_numbers_come_back(fast: Any, gaps: bool, apart: bool) -> None:
    rng = random.Random(3)
    for n in (1, 7, 63, 64, 65, 200, 1000):
        columns, encodings = some(rng, n, gaps)
        stored = opened(fast, n, *block(n, columns, encodings, apart))
        assert sorted(fast.block_names(stored)) == sorted(columns)
        rows = array("i", sorted(rng.sample(range(n), n // 2)))
        for name in BITS:
            for wanted, which in ((None, range(n)), (rows, rows)):
                expected = [columns[name][row] if name in columns else None for row in which]
                assert fast.take_rows(stored, (name, None), wanted) == [(number, None) for number in expected]
        every = [tuple(columns[name][row] if name in columns else None for name in BITS) for row in range(n)]
        assert fast.take_rows(stored, tuple(BITS), None) == every


def test_expressions_select_the_rows_whose_numbers_are_so(fast: Any) -> None:
    rng = random.Random(5)
    for _ in range(60):
        n = rng.choice((1, 70, 700))
        columns, encodings = some(rng, n, rng.random() < 0.5)
        for name in columns.keys() & {"addr", "value", "width", "map", "pid"}:
            there = sorted(number for number in columns[name] if number is not None)
            low, high = there[len(there) // 3], there[len(there) // 2]
            if low < 0:
                continue
            program = compiled_steps(parse(f"{name} in {low:#x}-{high:#x}"))
            assert program is not None
            stored = opened(fast, n, *block(n, columns, encodings))
            rows = memoryview(fast.pick_rows(stored, *program, None)).cast("i").tolist()
            numbers = columns[name]
            assert rows == [i for i in range(n) if (number := numbers[i]) is not None and low <= number <= high]


@pytest.mark.parametrize("gaps", [False, True])
def test_lines_stand_between_those_of_accesses(fast: Any, gaps: bool) -> None:
    n = 50
    columns: Columns = {
        "kind": [row % 2 for row in range(n)],
        "width": [4] * n,
        "time": [row * 300_000_000 for row in range(n)],
        "map": [1] * n,
        "addr": [row << row % 60 for row in range(n)],
        "value": [0xFFFFFFFFFFFFFFFF >> row for row in range(n)],
        "pc": [0] * n,
        "pid": [row % 3 for row in range(n)],
    }
    if gaps:
        columns["pid"][7] = columns["value"][8] = None
    encodings = {name: PLAIN for name in columns} | {"time": DELTA}
    stored = opened(fast, n, *block(n, columns, encodings))
    rows = array("i", [2, 3, 5, 7, 8, 9, 40]) if gaps else array("i", [2, 3, 5, 9, 40])
    between, lines = array("i", [0, 3, 4, 7, 8, 41, 49]), [b"zero\n", b"", b"four\n", b"7\n", b"8\n", b"a" * 500, b"\n"]
    expected = dict(zip(between, lines, strict=True))
    for row in set(rows).difference(between):
        fields = {name: numbers[row] for name, numbers in columns.items() if name != "kind"}
        event = Event(Kind(columns["kind"][row] or 0), **fields)
        expected[row] = (render(event) or b"") + b"\n"
    text = b"".join(expected[row] for row in sorted(expected))
    for room, good in ((len(text) + 160, True), (len(rows) * 160 + 600, True), (300, False), (0, False)):
        out = bytearray(room)
        written = fast.print_picked(stored, rows, len(rows), between, lines, out)
        assert written == (len(text) if good else -2)
        assert not good or bytes(out[:written]) == text
    if gaps:
        assert fast.print_picked(stored, array("i", [7]), 1, array("i"), [], bytearray(999)) == -1
    if fast is native_plain:
        return
    with pytest.raises(ValueError):
        fast.print_picked(stored, rows, len(rows), array("i", [3, 3]), [b"", b""], bytearray(9999))
    with pytest.raises(TypeError):
        fast.print_picked(stored, rows, len(rows), array("i", [3]), ["no bytes"], bytearray(9999))


@needs_engine
def test_what_is_asked_for_may_be_changed_while_a_block_is_decoded() -> None:
    fast = compiled()
    assert fast is not None
    numbers: Columns = {"kind": [0, 1, 0, 1], "addr": [4, 5, 6, 7]}
    head, body = block(4, numbers, dict.fromkeys(numbers, PLAIN))
    asked: list[Any] = []

    def expand(frame: bytes) -> bytes:
        asked.clear()
        return expand_whole(frame)

    def stored() -> Any:
        return fast.read_parts(pack(head), pack(body), 4, 1, expand, zlib.crc32)

    asked[:] = [(0, 2**64 - 1, 0, array("Q", [5]), array("Q", [6]))]
    assert fast.pick_rows(stored(), ("addr",), asked, None) == array("i", [1, 2]).tobytes()
    assert not asked
    asked[:] = [b"a" * 3000, b"b" * 3000]
    out = bytearray(9999)
    assert fast.print_picked(stored(), array("i"), 0, array("i", [0, 2]), asked, out) == 6000
    assert not asked and out[:6000] == b"a" * 3000 + b"b" * 3000


@needs_engine
def test_a_block_that_is_being_decoded_is_not_decoded_again() -> None:
    fast = compiled()
    assert fast is not None
    head, body = block(4, {"kind": [0, 1, 0, 1], "addr": [4, 5, 6, 7]}, {"kind": PLAIN, "addr": PLAIN})
    problems = []

    def expand(frame: bytes) -> bytes:
        if not problems:
            problems.append(None)
            with pytest.raises(RuntimeError, match="another thread") as caught:
                fast.take_rows(stored, ("kind",), None)
            problems[0] = caught.value
        return expand_whole(frame)

    stored = fast.read_parts(pack(head), pack(body), 4, 1, expand, zlib.crc32)
    taken = fast.take_rows(stored, ("addr",), None)
    assert problems[0] is not None and fast.take_rows(stored, ("addr",), None) == taken


@needs_engine
def test_who_asks_for_what_makes_no_sense_is_refused() -> None:
    fast = compiled()
    assert fast is not None
    stored = opened(fast, 4, *block(4, {"kind": [0, 1, 0, 1], "addr": [4, 5, 6, 7]}, {"kind": PLAIN, "addr": PLAIN}))
    some_numbers = array("Q", [0])
    for steps in ([], [0], [(0, 0, 0, some_numbers, some_numbers)] * 2, [(1, 0, 0, some_numbers, some_numbers)], [7]):
        with pytest.raises((ValueError, TypeError)):
            fast.pick_rows(stored, ("addr",), steps, None)
    for order in ([1, 1], [2, 1], [-1, 0], [3, 4]):
        with pytest.raises(ValueError):
            fast.take_rows(stored, ("addr",), array("i", order))
    for names in (("extras",), ("addr",) * 17):
        with pytest.raises(ValueError):
            fast.take_rows(stored, names, None)


def test_blocks_that_make_no_sense_are_refused(fast: Any) -> None:
    head, body = block(4, {"kind": [0, 1, 0, 1], "addr": [4, 5, 6, 7]}, {"kind": PLAIN, "addr": PLAIN})
    with pytest.raises(ValueError):
        opened(fast, 5, head, body)
    with pytest.raises(ValueError):
        opened(fast, 4, head, {"kind": body["kind"]})
    # A code beyond its dictionary.
    payload = pack({"k": [1, planes([9], True)], "v": planes([0, 1, 0, 0], True)})
    head["columns"]["addr"] = [DICTIONARY, 64, len(payload), zlib.crc32(payload), None]
    with pytest.raises(ValueError):
        fast.take_rows(opened(fast, 4, head, body | {"addr": payload}), ("addr",), None)
    # More than it may be.
    bomb = _squeeze(bytes(1 << 24))
    payload = pack({"v": [bomb]})
    head["columns"]["addr"] = [PLAIN, 64, len(payload), zlib.crc32(payload), None]
    with pytest.raises(ValueError):
        fast.take_rows(opened(fast, 4, head, body | {"addr": payload}), ("addr",), None)


def spoilt(rng: random.Random, item: Any) -> Any:
    """An object with something else in it somewhere."""
    if rng.random() < 0.25:
        return rng.choice((None, -1, 0, 1, 4, 70_000, 1 << 63, (1 << 64) - 1, "v", b"", [], {}, [1, 2], item))
    if isinstance(item, dict) and item:
        name = rng.choice(list(item))
        if rng.random() < 0.1:
            return {key: part for key, part in item.items() if key != name}
        return item | {name: spoilt(rng, item[name])}
    if isinstance(item, list) and item:
        at = rng.randrange(len(item))
        return item[:at] + ([] if rng.random() < 0.1 else [spoilt(rng, item[at])]) + item[at + 1 :]
    if isinstance(item, bytes) and item:
        at = rng.randrange(len(item))
        return rng.choice((item[:at], item + b"\0", item[:at] + rng.randbytes(1) + item[at + 1 :]))
    return item


def any_block(rng: random.Random) -> tuple[int, Any, Any]:
    """A block that was spoilt in some places, with checksums that are right."""
    n = rng.choice((1, 9, 40, 300))
    columns, encodings = some(rng, n, rng.random() < 0.5)
    head, body = block(n, columns, encodings, rng.random() < 0.5)
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice([*columns, "places"])
        if rng.random() < 0.5 and body.get(name) and name in head["columns"]:
            try:
                body[name] = pack(spoilt(rng, unpack(body[name])))
            except (ValueError, TypeError):
                continue
            head["columns"][name][2:4] = [len(body[name]), zlib.crc32(body[name])]
        else:
            head = spoilt(rng, head)
        directory = head.get("columns") if isinstance(head, dict) else None
        if not isinstance(directory, dict) or not all(isinstance(entry, list) for entry in directory.values()):
            break
    return n, head, body


#: Bytes of an item of what `take_stored` takes.
_TAKEN = (1, 2, 4, 8, 8, 8)


def fuzz(engine: Any, rounds: int, seed: int, look: Callable[[int, Any, Any, str, list[int | None]], None]) -> int:
    """Blocks, expressions and rows of any kind: under a sanitizer, see test_speed.py. `look` sees every column that is
    read; how many were.
    """
    rng = random.Random(seed)
    seen, is_plain = 0, engine is native_plain
    tally = None if is_plain else engine.new_tally()
    table = array("Q", [0]), array("i", [0]), array("Q", [0])

    def room(size: int = 8) -> bytearray:
        return bytearray(size * rng.choice((0, 1, 299, 300, 300, 300)))

    def words() -> array[int]:
        return array("Q", [rng.choice((0, 1, 39, 1 << 63)) for _ in range(rng.choice((0, 1, 4, 9)))])

    def step() -> Any:
        leaf = (rng.randrange(-1, 3), rng.getrandbits(64), rng.choice((0, 1 << 63)), words(), words())
        return rng.choice((0, 1, 2, 3, leaf, leaf, leaf))

    def rows() -> Any:
        return rng.choice((None, array("i", [2, 5, 8]), array("i", [rng.randrange(-2, 50) for _ in range(3)])))

    def lines() -> Any:
        return [rng.choice((b"", b"a line\n" * 40, b"another\n")) for _ in range(rng.choice((0, 3, 3, 3, 4)))]

    def columns(stored: Any, n: int, head: Any, body: Any) -> None:
        nonlocal seen
        for name in BITS:
            if name not in engine.block_names(stored):
                continue
            try:
                found = engine.take_rows(stored, (name,), None)
            except WRONG:
                continue
            seen += 1
            look(n, head, body, name, [number for (number,) in found])

    for _ in range(rounds):
        n, head, body = any_block(rng)
        whole, rest = pack(head), pack(body)
        if rng.random() < 0.2:
            whole = spoilt(rng, whole) or b""
            whole = whole if isinstance(whole, bytes) else b"\x80"
        try:
            stored = engine.read_parts(whole, rest, n, rng.choice((1, 1000)), expand_whole, zlib.crc32)
        except WRONG:
            continue
        names = tuple(rng.choice(list(BITS)) for _ in range(rng.randrange(10)))
        calls: tuple[Callable[[], Any], ...] = (
            lambda stored=stored, names=names: engine.pick_rows(
                stored, names, [step() for _ in range(rng.randrange(6))], rng.choice((None, room(1)))
            ),
            lambda stored=stored, names=names: engine.take_rows(stored, names, rows()),
            lambda stored=stored: engine.print_picked(stored, rows(), 3, rows(), lines(), room(rng.choice((1, 160)))),
            lambda stored=stored, n=n: engine.print_picked(stored, array("i", range(n)), n, rows(), lines(), room(160)),
            lambda stored=stored: engine.rows_within(stored, -5, 1 << 62, 1, room(1)),
            lambda stored=stored: engine.block_addresses(stored),
            lambda stored=stored: engine.block_extras(stored),
        )
        more: tuple[Callable[[], Any], ...] = (
            lambda stored=stored: engine.tally_block(tally, stored),
            lambda: engine.take_entries(tally),
            lambda stored=stored, n=n: engine.take_stored(
                stored,
                rng.choice((0, 0, 3, -1)),
                rng.choice((n, n, 5, 1 << 62)),
                1,
                table,
                room(),
                rng.choice((tuple(map(room, _TAKEN)), tuple(map(room, _TAKEN)), (room(),) * len(_TAKEN))),
                rng.choice((0, 0, 7, -1, (1 << 31) - 1, 1 << 62)),
                rng.choice((None, room(4), room(4))),
            ),
        )
        for call in calls if is_plain else calls + more:
            try:
                call()
            except WRONG:
                pass
        if whole == pack(head):
            columns(stored, n, head, body)
    return seen


def test_what_is_read_is_what_others_read(fast: Any) -> None:
    """Of whatever block: a column that is taken here says the same to who reads blocks in earnest."""

    def look(n: int, head: Any, body: Any, name: str, numbers: list[int | None]) -> None:
        try:
            rows = rows_of(head["columns"], body, n)
            presence = Presence(head.get("present"))
            entry, payload = head["columns"][name], body.get(name, b"")
            read = stored_column(entry, payload, n, dictionary(head, n), presence, rows).column()
        except NONSENSE as error:
            raise AssertionError(f"{name}: {error} {head['columns'][name]}") from error
        present = [True] * n if read.present is None else read.present.tolist()
        assert numbers == [number if there else None for number, there in zip(read.data.tolist(), present, strict=True)]

    assert fuzz(fast, 600, 7, look) > 1000
