"""Plug-in registry: the word the user types → the object, imported on first use.

Built-ins come from an explicit table and work from a checkout; third parties add to it by entry points.
A broken plug-in is listed with its reason and breaks nothing else. A built-in wins over a plug-in of its name.
"""

from __future__ import annotations

import os

from mmiotools.errors import UsageError
from mmiotools.typed import TYPE_CHECKING, Any, Generic, Iterator, Mapping, NamedTuple, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

#: The plug-in interface version that this release speaks; a plug-in states its own as `api`.
API = 1


class Listing(NamedTuple):
    """One row of `mmiotools list`: `problem` is None for a plug-in that works."""

    name: str
    title: str
    origin: str
    problem: str | None


class Registry(Generic[T]):
    """Names of one family of plug-ins. `noun` is the singular that messages use."""

    def __init__(self, noun: str, builtins: Mapping[str, str], group: str | None = None) -> None:
        self.noun = noun
        self.group = group
        self._targets = dict(builtins)
        self._loaded: dict[str, T] = {}
        self._foreign: dict[str, EntryPoint] | None = None

    def _plugins(self) -> dict[str, EntryPoint]:
        if self._foreign is None:
            self._foreign = {}
            if self.group is not None and not os.environ.get("MMIOTOOLS_NO_PLUGINS"):
                from importlib.metadata import entry_points

                self._foreign = {point.name: point for point in entry_points(group=self.group)}
        return self._foreign

    def builtin_names(self) -> list[str]:
        """Names of the built-ins, in table order."""
        return list(self._targets)

    def each(self) -> Iterator[str]:
        """Every name, built-ins first; plug-ins are looked for only when the built-ins are through."""
        yield from self._targets
        yield from (name for name in self._plugins() if name not in self._targets)

    def __contains__(self, name: str) -> bool:
        """Whether there is such a name; plug-ins are looked for only where no built-in has it."""
        return name in self._targets or name in self._plugins()

    def names(self) -> list[str]:
        """Every name, built-ins first; a name in here may still fail to load."""
        return list(self.each())

    def get(self, name: str) -> T:
        """The object of that name. Raises UsageError with the known names, or with the plug-in's own problem."""
        if name in self._loaded:
            return self._loaded[name]
        if name in self._targets:
            module, _, attribute = self._targets[name].partition(":")
            found: Any = getattr(__import__(module, fromlist=(attribute,)), attribute)
        elif name in self._plugins():
            found = self._load_foreign(name)
        else:
            raise UsageError(f"no {self.noun} is called '{name}'; there are: {', '.join(self.names())}")
        self._loaded[name] = found
        return found  # type: ignore[no-any-return]

    def _load_foreign(self, name: str) -> Any:
        try:
            found = self._plugins()[name].load()
        except Exception as error:  # a plug-in may fail in any way; it must not take us along
            raise UsageError(f"{self.noun} '{name}' cannot be loaded: {error!r}") from error
        if getattr(found, "api", None) != API:
            raise UsageError(f"{self.noun} '{name}' speaks plug-in interface {getattr(found, 'api', None)}, not {API}")
        return found

    def listing(self) -> Iterator[Listing]:
        """Every plug-in with its title, origin and, where it does not work, the reason."""
        for name in self.names():
            origin = "built-in" if name in self._targets else _distribution(self._plugins()[name])
            try:
                yield Listing(name, self.get(name).title, origin, None)  # type: ignore[attr-defined]
            except UsageError as error:
                yield Listing(name, "", origin, str(error))
        for name, point in self._plugins().items():
            if name in self._targets:
                yield Listing(name, "", _distribution(point), "shadowed by the built-in of this name")


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
