"""`NamedTuple` as `typing` has it, without its look at annotations: it compiles each that is a string, and to make the
compiler ready for the first takes as long as ten small modules.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

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
        """The base of those classes."""
