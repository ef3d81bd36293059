"""`mmiotools.typed.NamedTuple` makes what `typing.NamedTuple` makes."""

from __future__ import annotations

import pickle
import typing
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
