"""MessagePack by the compiled engine: the same as by msgpack, or left to it."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.formats import native_layout
from mmiotools.formats.native_layout import pack
from mmiotools.speed import compiled

needs_engine = pytest.mark.skipif(compiled() is None, reason="the compiled engine was not built")

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.integers(-200, 300)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=40)
)
OBJECTS = st.recursive(
    LEAVES,
    lambda some: st.lists(some, max_size=20) | st.dictionaries(st.text(max_size=9) | st.integers(), some, max_size=20),
    max_leaves=30,
)


def both(data: bytes) -> tuple[Any, Any]:
    """What `unpack` gives with the engine and without; errors as None."""
    found = []
    for engine in (compiled(), None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native_layout, "compiled", lambda engine=engine: engine)
            try:
                found.append((native_layout.unpack(data),))
            except ValueError:
                found.append(None)
    return found[0], found[1]


@needs_engine
@given(OBJECTS, st.data())
def test_the_same_with_the_engine_and_without(content: Any, data: st.DataObject) -> None:
    packed = pack(content)
    assert both(packed) == ((content,), (content,))
    at = data.draw(st.integers(0, len(packed) - 1))
    for spoilt in (packed[:at], packed + b"\0", packed[:at] + data.draw(st.binary(max_size=3)) + packed[at + 1 :]):
        ours, theirs = both(spoilt)
        assert repr(ours) == repr(theirs)  # NaN is not equal to itself


@needs_engine
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01\x02",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffabc",
        b"\x91" * 5000 + b"\x01",
        b"\x81\x90\x01",
        b"\xa2\xff\xfe",
    ],
)
def test_what_is_none_is_left_to_msgpack(data: bytes) -> None:
    engine = compiled()
    assert engine is not None
    assert engine.unpack(data) is NotImplemented
    assert both(data) == (None, None)


@needs_engine
def test_what_is_out_of_the_ordinary_is_left_to_msgpack() -> None:
    engine = compiled()
    assert engine is not None
    for content in (1 << 70, 1.5, "\ud800", msgpack.ExtType(5, b"x"), [[[1.5]]]):
        assert engine.unpack(pack(content)) is NotImplemented
        assert both(pack(content)) == ((content,), (content,))
    for some in ([b"a", None, True, -1, {"b": [False, "ü"]}], {1: 2}, bytearray(b"abc")):
        assert engine.unpack(memoryview(pack(some))) == some


def fuzz(engine: Any, rounds: int, seed: int) -> None:
    """Any bytes: under a sanitizer, see test_speed.py."""
    rng = random.Random(seed)
    whole = pack([{"a": [1, -5, 1 << 40, b"xyz" * 90, "text" * 70], 7: None}, *range(20), [[], {}], True] * 3)
    for _ in range(rounds):
        data = bytearray(whole)
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice((0x80, 0x9F, 0xC6, 0xD9, 0xDB, 0xDC, 0xDD, 0xDF, 0xC1, 0xFF))
        engine.unpack(data[: rng.choice((len(data), rng.randrange(len(data))))])
        engine.unpack(rng.randbytes(20))
