"""A card as it was learned: its PCI function and a model for each of its registers."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.errors import UsageError
from mmiotools.models.learn import Learned, learn
from mmiotools.models.stream import Place, Stream, join
from mmiotools.trace.header import PciDevice
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, Sequence


@dataclass(slots=True)
class Card:
    """What a card file holds.

    pci         the function: ids, BARs, interrupt line, driver
    registers   what was learned of each, in order of BAR, offset and width
    recordings, accesses   how many it was learned from
    left_out    registers that were only written, and are too many to list: they are plain storage, as any register is
                that a card does not list
    """

    pci: PciDevice
    registers: list[Learned] = field(default_factory=list)
    recordings: int = 0
    accesses: int = 0
    left_out: int = 0


#: Registers without a read that are listed.
MAX_UNREAD = 4096


def learn_card(tapes: Sequence[Tape], name: Callable[[Place], str | None] = lambda place: None) -> tuple[Card, Stream]:
    """The card of some recordings, and the recordings as one stream.

    name  what a register is called, if it is known
    Raises UsageError when they are not of one card.
    """
    ids = {tape.pci.ids for tape in tapes}
    if len(ids) > 1:
        raise UsageError(f"the recordings are of different cards: {', '.join(sorted(ids))}")
    stream = join(tapes)
    registers = learn(stream)
    unread = [learned for learned in registers if not learned.reads]
    if len(unread) > MAX_UNREAD:
        registers = [learned for learned in registers if learned.reads]
    taken: set[str] = set()
    for learned in registers:
        learned.name = _unique(name(learned.place) or default_name(learned.place), learned.place, taken)
    return Card(tapes[0].pci, registers, len(tapes), len(stream), len(unread) * (len(unread) > MAX_UNREAD)), stream


def default_name(place: Place) -> str:
    """What a register without a name is called: BAR0_0010."""
    return f"{place.bar}_{place.offset:04x}"


def _unique(name: str, place: Place, taken: set[str]) -> str:
    """The name, or one with the width behind where another register has it."""
    while name in taken:
        name = f"{name}_{place.width}"
    taken.add(name)
    return name
