"""What `mmiotools.small` has does what the standard library's does."""

from __future__ import annotations

import array
import contextlib
import functools
import json
import math
import pickle
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator, MutableSequence
from typing import Any

import pytest

from mmiotools import small
from mmiotools.trace import in_c


@pytest.fixture(params=[small, contextlib], ids=["small", "contextlib"])
def manager(request: pytest.FixtureRequest) -> Any:
    return request.param.contextmanager


def test_a_block_between_the_halves_of_a_generator(manager: Any) -> None:
    seen = []

    @manager
    def around(*words: str, last: str = "") -> Iterator[int]:
        """See there."""
        seen.extend(words)
        try:
            yield 7
        finally:
            seen.append(last)

    with around("a", "b", last="z") as number:
        seen.append(str(number))
    assert seen == ["a", "b", "7", "z"]
    assert (around.__name__, around.__doc__) == ("around", "See there.")
    for error in (KeyError("x"), KeyboardInterrupt(), StopIteration(3), RuntimeError("y")):
        with pytest.raises(type(error)) as raised, around(last="!"):
            raise error
        assert raised.value is error
    assert seen[4:] == ["!"] * 4


def test_what_is_raised_may_be_caught_or_become_another(manager: Any) -> None:
    @manager
    def around(other: Exception | None) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            if other is not None:
                raise other from error

    with around(None):
        raise ValueError
    with pytest.raises(KeyError), around(KeyError("k")):
        raise ValueError
    with pytest.raises(TypeError), around(None):
        raise TypeError


def test_generators_that_yield_another_time_or_never(manager: Any) -> None:
    @manager
    def often(times: int) -> Iterator[None]:
        for _ in range(times):
            with contextlib.suppress(ValueError):
                yield

    for error in (None, ValueError("x")):
        with pytest.raises(RuntimeError), often(2):
            if error is not None:
                raise error
    with pytest.raises(RuntimeError), often(0):
        pass


def test_what_is_suppressed() -> None:
    with small.suppress(KeyError, OSError):
        raise FileNotFoundError
    with pytest.raises(ValueError), small.suppress(KeyError):
        raise ValueError
    with small.suppress():
        pass


def test_answers_are_remembered() -> None:
    asked = []
    for cache in (small.cache, functools.cache):

        @cache
        def double(number: int) -> int:
            asked.append(number)
            return 2 * number

        assert [double(1), double(2), double(1), double.__wrapped__(5)] == [2, 4, 2, 10]
        double.cache_clear()
        assert double(1) == 2
    assert asked == [1, 2, 5, 1] * 2


def test_not_all_answers_are_kept() -> None:
    asked = []
    remembering = small.cache(lambda number: asked.append(number) or number)
    for number in range(10_000):
        assert remembering(number) == number
    assert remembering(9_999) == 9_999 and len(asked) == 10_000
    assert remembering(0) == 0 and len(asked) == 10_001


def test_counts() -> None:
    for kind in (small.Counter, Counter):
        counts = kind()
        counts["a"] += 2
        counts.update({"a": 1, "b": 5})
        counts.update(pickle.loads(pickle.dumps(counts)))
        assert (counts, counts["nothing"], len(counts)) == ({"a": 6, "b": 10}, 0, 2)


def test_others_are_the_real_ones() -> None:
    assert (small.deque, small.array) == (deque, array.array)
    assert issubclass(small.array, MutableSequence)
    code = (
        "import sys; from mmiotools import small\n"
        "print('collections' in sys.modules)\n"
        "import collections.abc as abc; from collections import Counter\n"
        "print(issubclass(small.array, abc.MutableSequence), Counter('aa'))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["False", "True Counter({'a': 2})"]


@pytest.fixture(params=[True, False], ids=["in C", "json"])
def json_text(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(in_c, "_spell", None)
    if not request.param:
        monkeypatch.setitem(sys.modules, "_json", None)
    return in_c.json_text


def test_json_is_spelt_as_the_standard_library_does(json_text: Any) -> None:
    for value in ({"a": [1, -2.5, None, True], "ü\n\"\ud800": {}}, [], "x", 1 << 80, {3: "three", None: (1, 2)}):
        assert json_text(value) == json.dumps(value, separators=(",", ":"))
    for value, error in ((math.nan, ValueError), (b"", TypeError), ({(1, 2): 3}, TypeError)):
        with pytest.raises(error):
            json_text({"in": [value]} if not isinstance(value, dict) else value)
