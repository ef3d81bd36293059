"""What can be fuzzed, by name: where its inputs come from, how they are spoilt, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple

import corpus
import mutation
import native_parts
import others
import tables
import traces
from mutation import BYTES, JSON, TEXT, Mutation

from mmiotools.formats import FORMATS as REGISTRY

#: Formats of traces that are read, with what spoils them.
FORMATS: dict[str, tuple[Mutation, ...]] = {
    "mmiotrace": TEXT,
    "native": (*BYTES, *[native_parts.blocks] * 14),
    "jsonl": JSON,
    "ftrace": TEXT,
    "qemu-log": TEXT,
    "qemu-simple": BYTES,
    "relay": BYTES,
    "mmt": BYTES,
    "mmt-text": TEXT,
    "renode": TEXT,
    "serialice": TEXT,
    "panda": JSON,
    "conware": TEXT,
    "pcileech": JSON,
    "parquet": (*BYTES, *[tables.columns] * 12),
    "arrow": (*BYTES, *[tables.columns] * 12),
}
SETTINGS: dict[str, Callable[[bytes], int]] = {
    "register-maps": others.check_register_map,
    "masks": others.check_masks,
    "cards": others.check_card,
    "scenarios": others.check_scenario,
    "filters": others.check_filter,
}


class Input(NamedTuple):
    """An input. `how`: "cut" or "flip" where it is a seed, `whole`, that was only cut or changed in one byte; "long"
    where it is to be repeated.
    """

    data: bytes
    whole: bytes = b""
    how: str = ""


@dataclass
class Target:
    """One reader. `check` gives the number of events; whatever it raises is a finding."""

    name: str
    mutations: Sequence[Mutation]
    seeds_of: Callable[[int, int], list[bytes]]
    check_any: Callable[[bytes], int]
    bomb: Callable[[Random], bytes] | None = None
    seeds: list[bytes] = field(default_factory=list)

    def prepare(self, number: int, built: int = 60) -> None:
        """Make the seeds, so many of them built by hypothesis where it can; the same for the same numbers."""
        self.seeds = [data for data in self.seeds_of(number, built) if data]

    @property
    def missing(self) -> str | None:
        """Why it cannot be fuzzed here; None where it can."""
        return getattr(REGISTRY.get(self.name), "needs", None) if self.name in FORMATS else None

    def input(self, number: int, index: int) -> Input:
        """The input of that index; the same whenever it is asked for."""
        rng = Random(f"{number}/{self.name}/{index}")
        how = rng.random()
        if index % 8 == 0 and index // 8 < len(self.seeds):
            return Input(self.seeds[index // 8])
        if self.bomb is not None and how < 0.01:
            return Input(self.bomb(rng))
        if self.name in FORMATS and how < 0.001:
            return Input(mutation.mutant(rng, self.seeds, self.mutations), b"", "long")
        if self.name in FORMATS and how < 0.12:
            whole = rng.choice(self.seeds)
            cut = how < 0.07
            spoil = mutation.cut if cut else mutation.flip
            return Input(spoil(rng, whole, self.seeds), whole, "cut" if cut else "flip")
        return Input(mutation.mutant(rng, self.seeds, self.mutations))

    def check(self, given: Input) -> int:
        """All that must hold for an input."""
        if given.how == "long":
            return traces.check_long(self.name, given.data)
        events = self.check_any(given.data)
        if given.how == "cut":
            traces.check_cut(self.name, given.whole, given.data)
        elif given.how == "flip":
            traces.check_flip(self.name, given.whole, given.data)
        return events


def _compressed_seeds(codec: str, number: int, built: int) -> list[bytes]:
    return [native_parts.COMPRESS[codec](data) for data in corpus.seeds("mmiotrace", number, built // 6)]


def targets() -> dict[str, Target]:
    """All of them."""
    found = {}
    for name, mutations in FORMATS.items():
        found[name] = Target(name, mutations, partial(corpus.seeds, name), partial(traces.check, name))
    for codec in native_parts.COMPRESS:
        found[codec] = Target(
            codec,
            (*BYTES, *[native_parts.members(codec)] * 4),
            partial(_compressed_seeds, codec),
            partial(others.check_compressed, codec),
            partial(native_parts.bomb, codec),
        )
    for name, check in SETTINGS.items():
        found[name] = Target(name, TEXT, partial(corpus.settings_seeds, name), check)
    return found
