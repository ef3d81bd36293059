"""Recordings made up access by access, and small machines to make them with."""

from __future__ import annotations

import numpy as np

from mmiotools.models.card import Card, default_name
from mmiotools.models.learn import Learned, learn
from mmiotools.models.stream import READ, WRITE, Place, Stream, Vocabulary
from mmiotools.trace.header import Bar, PciDevice

PCI = PciDevice(0x18, 0x1234, 0xB11C, 11, (Bar(0, 0xE0000000, 0x10000), Bar(2, 0xF0000000, 0x1000)), "blink")


def reg(offset: int, width: int = 4, bar: str = "BAR0") -> Place:
    return Place(bar, offset, width)


def stream_of(*recordings, vocabulary=None) -> Stream:
    """A stream of lists of ("R" or "W", place, value)."""
    vocabulary = Vocabulary() if vocabulary is None else vocabulary
    rows = [row for recording in recordings for row in recording]
    starts = np.cumsum([0, *map(len, recordings)]).tolist()
    return Stream(
        vocabulary,
        np.array([vocabulary.number(place) for _, place, _ in rows], np.int32),
        np.array([READ if op == "R" else WRITE for op, _, _ in rows], np.uint8),
        np.array([value for _, _, value in rows], np.uint64),
        np.ones(len(rows), np.bool_),
        np.concatenate([np.arange(len(recording)) * 1000 for recording in recordings]).astype(np.int64),
        starts,
    )


def learned(recording, *more) -> dict[Place, Learned]:
    """What is learned of each register."""
    return {one.place: one for one in learn(stream_of(recording, *more))}


def card_of(*recordings) -> Card:
    """The card of some recordings."""
    registers = learn(stream_of(*recordings))
    for one in registers:
        one.name = f"{default_name(one.place)}_{one.place.width}"
    return Card(PCI, registers, len(recordings), sum(map(len, recordings)))
