"""What `mmiotools.typed` makes is what the standard library makes."""

from __future__ import annotations

import copy
import enum
import json
import pickle
import re
import typing
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from mmiotools import typed

T = TypeVar("T")


class Ours(typed.NamedTuple):
    """A pair."""

    first: int
    second: dict[str, int] | None = None

    @property
    def double(self) -> int:
        """Twice the first."""
        return 2 * self.first

    @classmethod
    def of(cls, word: str) -> Ours:
        """From a word."""
        return cls(len(word))


class Theirs(typing.NamedTuple):
    """A pair."""

    first: int
    second: dict[str, int] | None = None

    @property
    def double(self) -> int:
        """Twice the first."""
        return 2 * self.first

    @classmethod
    def of(cls, word: str) -> Theirs:
        """From a word."""
        return cls(len(word))


class Holding(typed.NamedTuple, Generic[T]):
    """Something."""

    it: T


def test_a_class_is_what_that_of_typing_is() -> None:
    assert set(dir(Theirs)) - set(dir(Ours)) <= {"__orig_bases__"}
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__", "__mro__"):
        theirs = getattr(Theirs, name)
        assert getattr(Ours, name) == (theirs if name != "__mro__" else (Ours, *theirs[1:]))
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    assert (Ours.__name__, Ours.__qualname__) == ("Ours", "Ours")


def test_a_tuple_does_what_that_of_typing_does() -> None:
    ours, theirs = Ours.of("abc"), Theirs.of("abc")
    assert tuple(ours) == tuple(theirs) == (3, None)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert (ours.double, ours._replace(second={}), ours == theirs) == (6, (3, {}), True)
    assert type(pickle.loads(pickle.dumps(ours))) is Ours
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        Ours()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        ours.first = 1  # type: ignore[misc]


def test_a_tuple_may_be_of_any_type() -> None:
    assert Holding[int](1) == Holding(1) == (1,)


@pytest.mark.parametrize("one", [Ours, Theirs])
def test_a_tuple_may_be_made_in_any_way_and_often(one: typing.Any) -> None:
    wrong = [((1, {}, 2), {}), ((1,), {"first": 2}), ((1,), {"third": 2}), ((), {}), ((), {"second": {}})]
    for _ in range(40):
        made = [one(1), one(1, {}), one(first=1), one(1, second={}), one(second={}, first=1), one._make([1, None])]
        assert [tuple(item) for item in made] == [(1, None), (1, {}), (1, None), (1, {}), (1, {}), (1, None)]
        assert made[0]._asdict() == {"first": 1, "second": None}
        for values, named in wrong:
            with pytest.raises(TypeError):
                one(*values, **named)
        with pytest.raises(TypeError, match="Expected 2 arguments, got 1"):
            one._make([1])
        with pytest.raises(ValueError, match="unexpected field names"):
            made[0]._replace(third=1)


class Kept(typed.Record):
    first: int
    second: dict[str, int] | None = None

    def __len__(self) -> int:
        return self.first


def test_a_record_is_made_once() -> None:
    kept = Kept(3)
    assert (kept.first, kept.second, len(kept), len(Kept(second={}, first=2)._replace(first=5))) == (3, None, 3, 5)
    assert pickle.loads(pickle.dumps(Kept(4, {"x": 1}))).second == {"x": 1}
    assert kept != Kept(3) and kept._fields == ("first", "second")
    for wrong in ((lambda: Kept()), (lambda: Kept(1, {}, 2)), (lambda: Kept(1, third=2))):
        with pytest.raises(TypeError, match="has the fields first, second"):
            wrong()
    with pytest.raises(AttributeError):
        kept.first = 1  # type: ignore[misc]
    assert not hasattr(kept, "__dict__")


class Ground(typed.IntEnum):
    """What is below."""

    SAND = 3
    CLAY = 1


class Usual(enum.IntEnum):
    SAND = 3
    CLAY = 1


def test_named_numbers() -> None:
    for kind in (Ground, Usual):
        sand = kind.SAND
        assert sand == 3 and isinstance(sand, int) and sand is kind(3) is kind["SAND"] is kind(kind.SAND)
        assert (sand.name, sand.value, type(sand.value), str(sand), f"{sand:02}") == ("SAND", 3, int, "3", "03")
        assert repr(sand) == f"<{kind.__name__}.SAND: 3>"
        assert (list(kind), len(kind), max(kind), dict(kind.__members__)) == ([3, 1], 2, 3, {"SAND": 3, "CLAY": 1})
        assert pickle.loads(pickle.dumps(sand)) is copy.deepcopy(sand) is sand
        assert {sand: "x"}[3] == "x" and json.dumps([sand]) == "[3]" and sand | kind.CLAY == 3
        with pytest.raises(ValueError, match=f"2 is not a valid {kind.__name__}"):
            kind(2)
        with pytest.raises(KeyError):
            kind["ROCK"]
    assert Ground.__doc__ == "What is below."


#: What `typed` has by its name alone: a protocol that is asked whether something has it has to be a real one, as has a
#: type variable of which aliases are made.
_NOT_QUITE = {"Protocol", "TypeVar"}


def test_typing_is_imported_for_what_is_not_in_typed() -> None:
    package = Path(typed.__file__).parent
    for path in set(package.rglob("*.py")) - {Path(typed.__file__)}:
        places = r"^from (?:typing|types|enum|collections\.abc) import (.*?)(?:  #|$)"
        names = re.findall(places, path.read_text("utf-8"), re.MULTILINE)
        known = {name for line in names for name in line.split(", ") if hasattr(typed, name)}
        assert known <= _NOT_QUITE, path
