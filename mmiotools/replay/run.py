"""Runs a driver against the mock card of a recording, in the emulated machine that recordings are made in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mmiotools.drivers import Chosen, find_driver
from mmiotools.engine.inject import Injector, Tally
from mmiotools.engine.inject_data import Rule
from mmiotools.engine.interface import Device
from mmiotools.engine.pci import FAILABLE
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.replay.card import MockCard
from mmiotools.replay.report import Report
from mmiotools.replay.tape import Tape
from mmiotools.trace.batch import Batch, Builder
from mmiotools.trace.header import PciDevice, TraceHeader
from mmiotools.trace.intervals import OverlapError

#: Accesses that a driver may make beyond those recorded, before it is taken for one that will never end.
BEYOND = 1_000_000

#: Events that are handed on together.
BATCH_EVENTS = 4096


class Replayed(NamedTuple):
    """The report, how the driver's run ended, and what became of each rule of fault injection."""

    report: Report
    outcome: Outcome
    tally: Sequence[Tally] = ()


def recorded_driver(meta: Mapping[str, Any], name: str = "the recording") -> Chosen:
    """The driver that a recording names, bundled or installed; never a file, because a trace is only data.

    Raises UsageError that says what to give instead.
    """
    driver, version = meta.get("driver"), meta.get("driver_version", "1")
    if not isinstance(driver, str) or not driver:
        raise UsageError(f"{name}: names no driver: give --driver NAME or FILE, or --device NAME or FILE")
    if "driver_file" in meta:
        raise UsageError(f"{name}: was made with a driver from a file, which is not run unasked: give --driver FILE")
    try:
        found, version = find_driver(f"{driver}@{version}")
    except UsageError as error:
        raise UsageError(f"{name}: {error}; or give --driver") from error
    return Chosen(found, version, None)


def recorded_failures(meta: Mapping[str, Any]) -> dict[str, int]:
    """The kernel calls that failed in the recording, and how; what makes no sense is left out."""
    options = meta.get("options")
    fail = options.get("fail") if isinstance(options, dict) else None
    if not isinstance(fail, dict):
        return {}
    return {name: value for name, value in fail.items() if name in FAILABLE and isinstance(value, int) and value < 0}


def recorded_seed(meta: Mapping[str, Any]) -> int:
    """The seed of the recorded run, 0 when it is not known."""
    seed = meta.get("seed")
    return seed if isinstance(seed, int) else 0


def replay_header(
    tape: Tape, chosen: Chosen, policy: str, seed: int | None = None, rules: Sequence[Rule] = ()
) -> TraceHeader:
    """The header of a trace of what the driver does in a replay."""
    options: dict[str, Any] = {"policy": policy, "fail": recorded_failures(tape.meta)}
    if rules:
        options["inject"] = [rule.text for rule in rules]
    meta: dict[str, Any] = {
        "driver": chosen.driver.name,
        "driver_version": chosen.version,
        "card": MockCard.name,
        "options": options,
        "seed": recorded_seed(tape.meta) if seed is None else seed,
        "scenario": None,
    }
    if chosen.file is not None:
        meta["driver_file"] = chosen.file
    return TraceHeader(format="mmiotrace", clock="boot", time_digits=6, meta=meta)


def replay(
    tape: Tape,
    chosen: Chosen,
    policy: str = "strict",
    *,
    seed: int | None = None,
    sink: Callable[[Batch], None] | None = None,
    pci: PciDevice | None = None,
    rules: Sequence[Rule] = (),
) -> Replayed:
    """Run a driver against the mock card of a tape.

    seed   of the machine's clock and of the rules, else the recording's
    sink   given what the driver does, as a trace, in batches
    pci    how the card shall appear, if not as recorded
    rules  of fault injection between the driver and the mock card, whose books are of what reaches it

    Kernel calls that failed in the recording fail again. Rules that the recording was made with are not applied: their
    effect is in the recorded values. Raises ExpressionError for a rule that does not fit the card.
    """
    card = MockCard(tape, policy, pci)
    meta = replay_header(tape, chosen, policy, seed, rules).meta
    injector = Injector(card, rules, meta["seed"]) if rules else None
    device: Device = card if injector is None else injector
    pending = Builder()

    def emit(event: Event) -> None:
        pending.append(event)
        if event.kind == Kind.HEADER:
            pending.append(Event(Kind.HEADER, extra={"format": "mmiotools", "version": "1", "meta": meta}))
        if len(pending) >= BATCH_EVENTS and sink is not None:
            sink(pending.finish())

    try:
        outcome = run_driver(
            chosen.driver.versions[chosen.version],
            device,
            emit=emit,
            trace=sink is not None,
            seed=meta["seed"],
            fail=recorded_failures(tape.meta),
            limit=len(tape) + BEYOND,
        )
    except OverlapError as error:
        raise UsageError(f"the card's BARs overlap in the recording: {error}") from error
    if sink is not None:
        sink(pending.finish())
    report = Report(
        card.finish(),
        policy,
        f"driver {chosen.driver.name}@{chosen.version}",
        card.pci,
        delivered=len(outcome.irqs),
        stray=outcome.unclaimed_count,
        problem=None if outcome.error is None else str(outcome.error),
    )
    return Replayed(report, outcome, () if injector is None else injector.tally)
