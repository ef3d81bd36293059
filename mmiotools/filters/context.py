"""What a filter never drops: headers, devices, maps, losses and damage, and the maps alive where a stream is cut."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters.alive import CONTEXT, LASTING, LiveMaps
from mmiotools.trace.batch import EOL_CRLF, EOL_NONE, Batch, BoolArray, Column, concatenate
from mmiotools.typed import Iterator

#: Batches of maps emitted again are not longer than this.
_PIECE = 1 << 12


def damage_mask(batch: Batch) -> BoolArray:
    """Which rows are NOTE events that report damage, (n,) bool."""
    found = np.zeros(len(batch), np.bool_)
    found[[row for row, _ in batch.damage()]] = True
    return found


def lasting_mask(batch: Batch) -> BoolArray:
    """Which rows pass even outside a window: HEADER, DEVICE, LOST and damage, (n,) bool."""
    return batch.of_kind(*LASTING) | damage_mask(batch)


def context_mask(batch: Batch) -> BoolArray:
    """Which rows pass every expression: the lasting ones, MAP and UNMAP, (n,) bool."""
    return batch.of_kind(*CONTEXT) | damage_mask(batch)


class MapContext:
    """Which maps are alive, and which of them a reader of the output takes for alive."""

    def __init__(self, maps: LiveMaps[Batch] | None = None) -> None:
        self._maps = LiveMaps[Batch]() if maps is None else maps

    def renewed(self) -> MapContext:
        """The same maps alive, of which no reader was told yet."""
        return MapContext(self._maps.renewed())

    def skip(self, batch: Batch) -> None:
        """Follow events that are not emitted."""
        self._follow(batch, told=False)

    def pass_through(self, batch: Batch) -> None:
        """Follow events that are emitted."""
        self._follow(batch, told=True)

    def _follow(self, batch: Batch, told: bool) -> None:
        ids, present = batch.data("map"), batch.present("map")
        for row in batch.rows(Kind.MAP, Kind.UNMAP).tolist():
            if present[row]:
                self._maps.follow(int(ids[row]), batch.take(np.array([row])), batch.kind[row] == Kind.UNMAP, told)

    def enter(self) -> Iterator[Batch]:
        """The original UNMAP and MAP events that bring a reader of the output up to date, in order."""
        events = self._maps.enter()
        for start in range(0, len(events), _PIECE):
            yield with_line_ends(concatenate(events[start : start + _PIECE]))


def with_line_ends(batch: Batch) -> Batch:
    """The same events, none without a line end: more follows."""
    if "eol" not in batch.columns:
        return batch
    ends = batch.data("eol")
    columns = {**batch.columns, "eol": Column(np.where(ends == EOL_NONE, 0, np.minimum(ends, EOL_CRLF)).astype("u1"))}
    return Batch(batch.kind, columns, batch.extras, batch.regions)
