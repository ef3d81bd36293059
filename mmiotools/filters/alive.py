"""What passes every filter, and which maps are alive along a stream: those that are, and those that a reader of what is
kept of it takes for alive.
"""

from __future__ import annotations

from mmiotools.events import Kind
from mmiotools.typed import Generic, TypeVar

T = TypeVar("T")

#: Kinds that pass even where a window is shut, and those that pass every expression; damage does, too.
LASTING = frozenset({Kind.HEADER, Kind.DEVICE, Kind.LOST})
CONTEXT = LASTING | {Kind.MAP, Kind.UNMAP}


class LiveMaps(Generic[T]):
    """Follows MAP and UNMAP events, which are whatever the caller has them as."""

    def __init__(self) -> None:
        self._alive: dict[int, T] = {}
        self._told: dict[int, T] = {}
        self._ends: dict[int, T] = {}
        self._stale = False

    def renewed(self) -> LiveMaps[T]:
        """The same maps alive, of which no reader was told yet."""
        fresh = LiveMaps[T]()
        fresh._alive = dict(self._alive)
        fresh._stale = bool(fresh._alive)
        return fresh

    def follow(self, map_id: int, event: T, ends: bool, told: bool) -> None:
        """A MAP, or an UNMAP that ends a map; `told`: it is kept."""
        self._alive.pop(map_id, None)
        if not ends:
            self._alive[map_id] = event
            if told:
                self._told[map_id] = event
        elif told:
            self._told.pop(map_id, None)
        elif map_id in self._told:
            self._ends[map_id] = event
        self._stale |= not told

    def enter(self) -> list[T]:
        """The original UNMAP and MAP events that bring a reader up to date, in order."""
        if not self._stale:
            return []
        self._stale = False
        events = [self._ends[i] for i in self._told if i not in self._alive and i in self._ends]
        events += [event for i, event in self._alive.items() if self._told.get(i) is not event]
        self._ends.clear()
        self._told = dict(self._alive)
        return events
