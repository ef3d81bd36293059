"""What `typing` has, as far as it is needed while a command runs: importing `typing` takes longer than looking through
a small file. Whoever checks types sees the real ones.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
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
    from collections import namedtuple

    # Of annotations, which nothing here looks at.
    Any = BinaryIO = ClassVar = NoReturn = Self = TypeAlias = object

    class _Making(type):
        def __new__(cls, name: str, bases: tuple[type, ...], inside: dict[str, Any]) -> type:
            """A class derived from NamedTuple: its annotations are the fields, all else stays as it is."""
            if not bases:
                return super().__new__(cls, name, bases, inside)
            fields = inside.pop("__annotations__", {})
            defaults = [inside.pop(field) for field in fields if field in inside]
            made = namedtuple(name, fields, defaults=defaults, module=inside["__module__"])
            made.__annotations__ = fields
            for key, item in inside.items():
                setattr(made, key, item)
            return made

    class NamedTuple(metaclass=_Making):
        """The base of those classes, without the look that `typing` takes at annotations: it compiles each that is a
        string, and to make the compiler ready for the first takes as long as ten small modules.
        """

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
