"""What `typing`, `collections.abc` and `enum` have, as far as it is needed while a command runs: importing these takes
longer than looking through a small file. Whoever checks types sees the real ones.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable as Callable
    from collections.abc import Collection as Collection
    from collections.abc import Container as Container
    from collections.abc import Generator as Generator
    from collections.abc import Hashable as Hashable
    from collections.abc import Iterable as Iterable
    from collections.abc import Iterator as Iterator
    from collections.abc import Mapping as Mapping
    from collections.abc import Sequence as Sequence
    from enum import IntEnum as IntEnum
    from types import MappingProxyType as MappingProxyType
    from types import ModuleType as ModuleType
    from typing import Any as Any
    from typing import BinaryIO as BinaryIO
    from typing import ClassVar as ClassVar
    from typing import Generic as Generic
    from typing import NamedTuple as NamedTuple
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import Self as Self
    from typing import TypeAlias as TypeAlias
    from typing import TypeVar as TypeVar
    from typing import cast as cast
    from typing import dataclass_transform as dataclass_transform

    from numpy.typing import NDArray as NDArray

    @dataclass_transform(frozen_default=True, eq_default=False)
    class Record:
        """See below."""

        _fields: ClassVar[tuple[str, ...]]

        def __post_init__(self) -> None:
            """Called when all fields are there."""

        def _replace(self, **changes: Any) -> Self:
            """The same with other fields."""
            return self

else:
    try:
        import _collections_abc as abc  # CPython has imported it as it started
    except ImportError:
        from collections import abc
    Callable, Collection, Container, Generator = abc.Callable, abc.Collection, abc.Container, abc.Generator
    Hashable, Iterable, Iterator, Mapping, Sequence = (
        abc.Hashable,
        abc.Iterable,
        abc.Iterator,
        abc.Mapping,
        abc.Sequence,
    )

    try:
        from _collections import _tuplegetter
    except ImportError:  # that of CPython, and only quicker
        from operator import itemgetter

        def _tuplegetter(at: int, doc: str) -> property:
            return property(itemgetter(at), doc=doc)

    #: As `types` has them.
    ModuleType, MappingProxyType = type(sys), type(type.__dict__)

    # Of annotations, which nothing here looks at.
    Any = BinaryIO = ClassVar = NoReturn = Self = TypeAlias = object

    class _Making(type):
        def __new__(cls, name: str, bases: tuple[type, ...], inside: dict[str, Any]) -> type:
            """A class derived from NamedTuple: its annotations are the fields, all else stays as it is."""
            if not bases:
                return super().__new__(cls, name, bases, inside)
            fields = tuple(inside.get("__annotations__", ()))
            defaults = {field: inside.pop(field) for field in fields if field in inside}
            getters = {field: _tuplegetter(at, f"Alias for field number {at}") for at, field in enumerate(fields)}
            own = {"__slots__": (), "_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
            return type(name, (tuple,), _OF_TUPLES | getters | inside | own)

    class NamedTuple(metaclass=_Making):
        """The base of those classes. `typing` looks at annotations as well, and compiles each that is a string, and
        `collections` compiles a constructor for each class, of which most are seldom called.
        """

    def _new(cls: type, *values: Any, **named: Any) -> Any:
        """A tuple of this class. From some calls on that is done by a function that was compiled for it."""
        fields, count = cls._fields, _made.get(cls, 0)
        _made[cls] = count + 1
        if count < _SELDOM:
            if not named and len(values) == len(fields):
                return tuple.__new__(cls, values)
            given = cls._field_defaults | dict(zip(fields, values, strict=False)) | named
            if len(given) == len(fields) >= len(values) and named.keys() <= set(fields[len(values) :]):
                return tuple.__new__(cls, [given[field] for field in fields])
        names = ", ".join(fields)
        function = eval(f"lambda _cls, {names}: _new(_cls, ({names},))", {"_new": tuple.__new__})
        function.__defaults__ = tuple(cls._field_defaults.values())
        function.__name__, function.__qualname__ = "__new__", f"{cls.__name__}.__new__"
        cls.__new__ = staticmethod(function)
        return function(cls, *values, **named)

    #: How often each class was called; and how often is seldom.
    _made: dict[type, int] = {}
    _SELDOM = 16

    def _make(cls: type, items: Any) -> Any:
        """A tuple of this class from as many items."""
        made = tuple.__new__(cls, items)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self: Any, **changes: Any) -> Any:
        """The same with other fields."""
        made = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise ValueError(f"Got unexpected field names: {list(changes)!r}")
        return made

    #: What every such class has.
    _OF_TUPLES = {
        "__new__": _new,
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": lambda self: dict(zip(self._fields, self, strict=True)),
        "__getnewargs__": lambda self: tuple(self),
        "__repr__": lambda self: type(self).__name__
        + f"({', '.join([f'{field}={item!r}' for field, item in self._asdict().items()])})",
    }

    class _Recording(type):
        def __new__(cls, name: str, bases: tuple[type, ...], inside: dict[str, Any]) -> type:
            """A class derived from Record: its annotations are the fields, with what they usually are."""
            fields = tuple(inside.get("__annotations__", ()))
            usual = {field: inside.pop(field) for field in fields if field in inside}
            return super().__new__(cls, name, bases, inside | {"__slots__": fields, "_fields": fields, "_usual": usual})

    class Record(metaclass=_Recording):
        """The base of classes that are nothing but fields, which are given once: a frozen dataclass that does not
        compare. But of such all methods are compiled, which takes longer than to import a small module.
        """

        def __init__(self, *values: Any, **named: Any) -> None:
            fields = self._fields
            given = dict(zip(fields, values, strict=False))
            if named or len(values) != len(fields):
                given = self._usual | given | named
                if len(values) > len(fields) or given.keys() != set(fields):
                    raise TypeError(f"{type(self).__name__} has the fields {', '.join(fields)}")
            for field, value in given.items():
                object.__setattr__(self, field, value)
            self.__post_init__()

        def __post_init__(self) -> None:
            pass

        def __setattr__(self, field: str, value: object) -> None:
            raise AttributeError(f"{type(self).__name__}.{field} is not to be changed")

        def __reduce__(self) -> tuple[Any, ...]:
            return type(self), tuple([getattr(self, field) for field in self._fields])

        def _replace(self, **changes: Any) -> Record:
            return type(self)(**{field: getattr(self, field) for field in self._fields} | changes)

    class _Numbering(type):
        def __new__(cls, name: str, bases: tuple[type, ...], inside: dict[str, Any]) -> type:
            """A class derived from IntEnum: each of its numbers becomes the member of that name."""
            if not bases:
                return super().__new__(cls, name, (int,), inside)
            numbers = {word: item for word, item in inside.items() if type(item) is int and word[0] != "_"}
            made = super().__new__(cls, name, bases, {word: inside[word] for word in inside.keys() - numbers.keys()})
            for word, number in numbers.items():
                member = int.__new__(made, number)
                member.name, member.value = word, number
                setattr(made, word, member)
            made.__members__ = MappingProxyType({word: getattr(made, word) for word in numbers})
            made._of = {int(member): member for member in made}
            return made

        def __call__(cls, number: int) -> Any:
            try:
                return cls._of[number]
            except (KeyError, TypeError):
                raise ValueError(f"{number!r} is not a valid {cls.__name__}") from None

        def __getitem__(cls, name: str) -> Any:
            return cls.__members__[name]

        def __iter__(cls) -> Iterator[Any]:
            return iter(cls.__members__.values())

        def __len__(cls) -> int:
            return len(cls.__members__)

    class IntEnum(metaclass=_Numbering):
        """The base of classes of named numbers, none of which has two names, and nothing but names is said."""

        __str__ = int.__repr__

        def __repr__(self) -> str:
            return f"<{type(self).__name__}.{self.name}: {self.value}>"

        def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
            return type(self), (self.value,)

    class Generic:
        """The base of classes of anything."""

        def __class_getitem__(cls, kinds: object) -> type:
            return cls

    class NDArray(Generic):
        """An array of numpy's, of which `numpy.typing` makes a small library."""

    class Protocol(Generic):
        """The base of classes that say what others have; none of them is asked whether an object has it."""

    def TypeVar(name: str, *bounds: object, **more: object) -> object:
        """A name for a type."""
        return object

    def cast(kind: object, value: Any) -> Any:
        """The value."""
        return value

    def dataclass_transform(**how: object) -> object:
        """A decorator that leaves things as they are."""
        return lambda made: made
