"""The report of a replay: the machine form of the contract, and the same for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.errors import EXIT_INTERRUPTED, EXIT_OK
from mmiotools.replay.interrupts import Delivered
from mmiotools.replay.ledger import KEEP, Done, Ledger, Parting
from mmiotools.trace.accesses import Access, access_json
from mmiotools.trace.address_space import Region, register_name
from mmiotools.trace.header import PciDevice
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Tape
from mmiotools.typed import Any, Sequence

SCHEMA = "mmiotools.replay/1"

#: Recorded accesses shown before and after the first divergence.
NEIGHBOURS = 3

#: Entries of each list that the form for people shows.
SHOWN = 10

_KINDS = {
    "extra": "the driver did what the recording does not have here",
    "differing": "the same access with another value",
    "missed": "the driver did not do this",
}


@dataclass(frozen=True, slots=True)
class RegisterScore:
    """How well a device model answered the recorded reads of one register."""

    region: str
    offset: int
    reads: int
    differing: int


@dataclass(slots=True)
class Report:
    """What came of a replay.

    ledger     the books, closed
    policy     the policy's name, or "device"
    subject    what was run: "driver nv-test@1", "device nv-card"
    pci        the card as the driver saw it
    interrupts  those of the recording, and what became of them
    model      the model beside the mock card that served the driver's memory and interrupts, None where there is none
    unknown    recorded accesses that could not be tried, because the recording does not know what they were
    fuzz       accesses that may be extra, missed or differing before the replay has diverged
    names      of registers
    stray      accesses of the driver where no device is; more than the recording has elsewhere are extra
    ignored    of a device model: accesses that were done, and are in no list because of masks
    reads      of a device model: how many reads were compared
    registers  of a device model: every register that answered differently, the worst first
    problem    why the driver, or the device, did not come to its end, None when it did
    status     the exit status that the problem asks for
    limits     what the driver met on the recorded run, and cannot meet here, a line each
    """

    ledger: Ledger
    policy: str
    subject: str
    pci: PciDevice
    interrupts: Delivered = field(default_factory=Delivered)
    model: str | None = None
    unknown: int = 0
    fuzz: int = 0
    names: Names | None = None
    stray: int = 0
    ignored: int = 0
    reads: int = 0
    registers: list[RegisterScore] = field(default_factory=list)
    problem: str | None = None
    status: int = EXIT_OK
    limits: Sequence[str] = ()

    @property
    def tape(self) -> Tape:
        """The recording."""
        return self.ledger.tape

    @property
    def diverged(self) -> bool:
        """Whether more accesses than `fuzz` were extra, missed or differing."""
        return self.out_of_place > self.fuzz or self.stray > self.tape.elsewhere

    @property
    def out_of_place(self) -> int:
        """Accesses that were extra, missed or differing."""
        return self.ledger.extra_count + self.ledger.missed_count + self.ledger.differing_count

    @property
    def verdict(self) -> str:
        """ "completed" or "diverged"."""
        return "diverged" if self.diverged else "completed"

    # -- machine form -------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The object that `replay --json` prints.

        A differing entry is the recorded access, with the driver's (or the device's) value as `got`. `elsewhere`
        counts accesses of the recording that are not the card's; `accesses` does not.
        """
        ledger = self.ledger
        entries = [
            self._recorded(position) | {"got": f"{done.value:#x}", "got_index": done.number}
            for position, done in ledger.differing
        ]
        held: dict[str, Any] = {
            "schema": SCHEMA,
            "policy": self.policy,
            "subject": self.subject,
            "card": {"address": self.pci.address, "ids": self.pci.ids},
            "accesses": len(self.tape) + self.tape.left_out,
            "ignored": self.tape.left_out + self.ignored,
            "excused": ledger.excused,
            "elsewhere": self.tape.elsewhere,
            "matched": ledger.matched,
            "first_divergence": self._divergence(),
            "extra": [self._driver(done) for done in ledger.extra],
            "extra_count": ledger.extra_count,
            "missed": [self._recorded(position) for position in ledger.missed()],
            "missed_count": ledger.missed_count,
            "differing": entries,
            "differing_count": ledger.differing_count,
            "unknown": self.unknown,
            "fuzz": self.fuzz,
            "stray": self.stray,
            "in_order": ledger.in_order,
            "out_of_order": ledger.matched - ledger.in_order,
            "polls": {"more": ledger.polls_more, "fewer": ledger.polls_fewer},
            "interrupts": self.interrupts._asdict(),
            "model": self.model,
        }
        if self.policy == "device":
            held["reads"] = self.reads
            held["registers"] = [
                {"region": s.region, "offset": f"{s.offset:#x}", "register": self._name(s.region, s.offset)}
                | {"reads": s.reads, "differing": s.differing}
                for s in self.registers[:KEEP]
            ]
            held["registers_count"] = len(self.registers)
        return held | {"problem": self.problem, "limits": list(self.limits), "verdict": self.verdict}

    def driver_access(self, done: Done) -> Access:
        """What the driver did, as reports show accesses; its index counts the driver's accesses to the card."""
        bar = next((bar for bar in self.pci.bars if bar.name == done.bar), None)
        address = None if bar is None else bar.addr + done.offset
        region = f"{self.pci.address}/{done.bar}"
        return Access(done.number, done.op, done.width, region, (), done.offset, address, done.value)

    def _recorded(self, position: int) -> dict[str, Any]:
        access = self.tape.access(position)
        return access_json(access, register=self._register(access))

    def _driver(self, done: Done) -> dict[str, Any]:
        access = self.driver_access(done)
        return access_json(access, register=self._register(access))

    def _register(self, access: Access) -> str | None:
        return self._name(str(access.region), access.offset)

    def _name(self, region: str, offset: int) -> str | None:
        """The name of a register; that of the BAR's where the driver's BARs lie elsewhere."""
        if self.names is None:
            return None
        found = self.names.find(self._regions().get(region.rpartition("/")[2]), offset)
        return None if found is None else found.text

    def _regions(self) -> dict[str, Region]:
        regions, ids = self.tape.accesses.regions, self.tape.pci.ids
        return {str(r.identity[2]): r for r in regions if r.device is not None and r.device.ids == ids}

    def _describe(self, access: Access) -> str:
        name = self._register(access)
        return describe(access) + ("" if name is None else f"  {name}")

    def _divergence(self) -> dict[str, Any] | None:
        first = self.ledger.first
        if first is None:
            return None
        before, after = self._neighbours(first)
        return {
            "kind": first.kind,
            "expected": self._recorded(first.position) if first.expected else None,
            "got": None if first.done is None else self._driver(first.done),
            "before": [self._recorded(position) for position in before],
            "after": [self._recorded(position) for position in after],
        }

    def _neighbours(self, first: Parting) -> tuple[range, range]:
        at = min(first.position, len(self.tape))
        then = at + 1 if first.expected else at
        return range(max(0, at - NEIGHBOURS), at), range(then, min(then + NEIGHBOURS, len(self.tape)))

    # -- for people ---------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The report as lines of text."""
        ledger = self.ledger
        out = [
            f"{self.verdict}: {self.subject} against {self.pci.address} ({self.pci.ids}), policy {self.policy}",
            f"  {len(self.tape) + self.tape.left_out} recorded, {ledger.matched} matched, {ledger.extra_count} extra, "
            f"{ledger.missed_count} missed, {ledger.differing_count} differing",
        ]
        if self.reads:
            equal = self.reads - ledger.differing_count
            share = int(10000 * equal / self.reads) / 100  # rounded down: 100 % is all of them
            out.append(f"  {equal} of {self.reads} reads answered as recorded, {share:.2f} %")
        if self.tape.elsewhere:
            out.append(f"  {self.tape.elsewhere} recorded accesses are not this card's, and were not replayed")
        left_out = self.tape.left_out + self.ignored
        if left_out or ledger.excused:
            aside = f"masks set aside {left_out} recorded accesses"
            out.append(f"  {aside}, and {ledger.excused} that come at any time" if ledger.excused else f"  {aside}")
        if self.fuzz and self.out_of_place:
            out.append(f"  {self.out_of_place} out of place; up to {self.fuzz} are tolerated")
        if self.unknown:
            out.append(f"  {self.unknown} recorded accesses have no value, and were not tried")
        if self.stray:
            out.append(f"  {self.stray} accesses of the driver were made where no device is")
        if ledger.in_order != ledger.matched:
            out.append(
                f"  {ledger.in_order} of those that matched came in the recorded order, "
                f"{ledger.matched - ledger.in_order} earlier or later"
            )
        if ledger.polls_more or ledger.polls_fewer:
            out.append(f"  waits took {ledger.polls_more} reads more and {ledger.polls_fewer} fewer than recorded")
        told = self.interrupts
        if told.recorded or told.delivered:
            idle = f", {told.idle} of them because the driver was idle" if told.idle else ""
            recorded = f"{told.recorded} recorded, " if told.recorded else ""
            out.append(f"  interrupts ({told.source}): {recorded}{told.delivered} delivered{idle}")
        if self.model is not None:
            out.append(f"  the model {self.model} stands in for what the card does to memory")
        if self.problem is not None:
            out.append(f"  {self._problem_line()}")
        out += [f"  {limit}" for limit in self.limits]
        if ledger.first is not None:
            out += ["", *self._divergence_lines(ledger.first)]
        for title, count, entries in self._lists():
            if count:
                out += ["", f"{title} ({count}):", *(f"  {entry}" for entry in entries[:SHOWN])]
                if count > SHOWN:
                    out.append(f"  ... and {count - SHOWN} more")
        if self.registers:
            out += ["", "registers that answered differently:"]
            for score in self.registers[:SHOWN]:
                place, name = register_name(score.region, score.offset), self._name(score.region, score.offset)
                out.append(f"  {place}{f' {name}' if name else ''}: {score.differing} of {score.reads} reads")
            if len(self.registers) > SHOWN:
                out.append(f"  ... and {len(self.registers) - SHOWN} more")
        return out

    def _problem_line(self) -> str:
        told = (self.problem or "").splitlines()[0]
        if self.policy != "device":
            return f"the driver did not come to its end: {told}"
        return told if self.status == EXIT_INTERRUPTED else f"the device was lost: {told}"

    def _lists(self) -> list[tuple[str, int, list[str]]]:
        ledger = self.ledger
        differing = [
            f"{self._describe(self.tape.access(position))}, but got {done.value:#x}"
            for position, done in ledger.differing[:SHOWN]
        ]
        return [
            ("extra", ledger.extra_count, [self._describe(self.driver_access(done)) for done in ledger.extra[:SHOWN]]),
            (
                "missed",
                ledger.missed_count,
                [self._describe(self.tape.access(position)) for position in ledger.missed()[:SHOWN]],
            ),
            ("differing", ledger.differing_count, differing),
        ]

    def _divergence_lines(self, first: Parting) -> list[str]:
        """The recording around the place, the expected access marked `->`, what was done instead marked `+`."""
        before, after = self._neighbours(first)
        what = _KINDS[first.kind]
        if first.kind == "missed" and self.policy == "device":
            what = "it ended before this" if self.status == EXIT_INTERRUPTED else "the device was lost before this"
        out = [f"first divergence: {what}"]
        out += [f"     {self._describe(self.tape.access(position))}" for position in before]
        if first.expected:
            out.append(f"  -> {self._describe(self.tape.access(first.position))}   expected")
        if first.done is not None:
            who = "the device" if self.policy == "device" else "the driver"
            out.append(f"   + {self._describe(self.driver_access(first.done))}   {who}")
        elif self.policy != "device":
            went_on = not self.ledger.open[first.position :].all()
            what = "nothing like it" if self.ledger.extra_count else "the driver did nothing more"
            out.append(f"   + {'the driver went on without it' if went_on else what}")
        out += [f"     {self._describe(self.tape.access(position))}" for position in after]
        return out


def describe(access: Access) -> str:
    """One access on one line: index, operation, width, place, value."""
    width = "?" if access.width is None else str(access.width)
    value = "" if access.value is None else f" = {access.value:#x}"
    return f"{access.index:>8}  {access.op} {width} {register_name(access.region, access.offset)}{value}"
