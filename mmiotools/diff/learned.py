"""What was learned, as masks that can be read, edited and used again without the recordings that taught it."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.learn import Noise
from mmiotools.events import Kind
from mmiotools.filters.masks import FLOATING, Mask, access_line, mask_lines
from mmiotools.trace.accesses import Access, Accesses
from mmiotools.trace.arrays import among, first_of_each, flatnonzero
from mmiotools.typed import Iterable, Iterator, Sequence

#: Longer blocks say too little about anything but the recordings at hand.
_LONGEST = 256


def learned_lines(noise: Noise, recordings: Sequence[Accesses]) -> Iterable[str]:
    """The lines of a mask file with all that `noise` holds. `recordings` are those that it was learned from.

    A mask counts everywhere, while noise knows the accesses beside those that vary; so it hides a little more.
    """
    return mask_lines(_masks(noise, recordings), _blocks(noise, recordings))


def _masks(noise: Noise, recordings: Sequence[Accesses]) -> Iterator[Mask]:
    examples: dict[int, Access] = {}
    varying = noise.values.registers()
    wanted = np.array(sorted(varying), np.uint64)
    for side in recordings:
        registers = side.register_keys()
        rows = flatnonzero(among(registers, wanted))
        first, _ = first_of_each(registers[rows])
        for row in rows[first].tolist():
            examples.setdefault(int(registers[row]), side.access(row))
    found = [(examples[register], bits, why) for register, (bits, why) in varying.items()]
    for access, bits, why in sorted(found, key=lambda one: (str(one[0].identity), one[0].offset, one[0].op)):
        device, text = None, f"{access.offset:#x}"
        if len(access.identity) == 3:
            device, text = access.identity[0], f"{access.identity[2]}+{access.offset:#x}"
        elif access.region is not None:
            text = f"{access.region}+{access.offset:#x}"
        op = {"R": Kind.READ, "W": Kind.WRITE}.get(access.op)
        yield Mask(text, (), device, op, bits, why)
    yield from noise.masks


def _blocks(noise: Noise, recordings: Sequence[Accesses]) -> Iterator[tuple[list[str], str]]:
    wanted = {key for block in noise.blocks.added for key in block if len(block) <= _LONGEST}
    lines: dict[int, str] = {}
    for side in recordings:
        keep = noise.keep(side)
        keys = side.keys(keep)
        rows = flatnonzero(among(keys, np.array(sorted(wanted), np.uint64)))
        first, _ = first_of_each(keys[rows])
        for row in rows[first].tolist():
            lines.setdefault(int(keys[row]), access_line(side.access(row), bool(keep[row])))
    for block in noise.blocks.added:
        if len(block) <= _LONGEST:
            yield [lines[key] for key in block], FLOATING
