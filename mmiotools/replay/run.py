"""Runs a driver against the mock card of a recording, in the emulated machine that recordings are made in."""

from __future__ import annotations

from mmiotools.drivers import Chosen, find_driver
from mmiotools.engine.inject import Injector, Tally
from mmiotools.engine.inject_data import Rule
from mmiotools.engine.interface import Device, Plugin
from mmiotools.engine.kernel import Kernel
from mmiotools.engine.pci import FAILABLE
from mmiotools.engine.quirks import FIXED
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import Setup
from mmiotools.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from mmiotools.events import Event, Kind
from mmiotools.filters.masks import NOTHING_SAID, MaskFile
from mmiotools.replay.card import MockCard
from mmiotools.replay.entries import AUTO, NONE, find_entries
from mmiotools.replay.interrupts import Delivered
from mmiotools.replay.policy import DEFAULT
from mmiotools.replay.report import Report
from mmiotools.replay.settings import Settings
from mmiotools.replay.shadow import Shadow, recorded_model
from mmiotools.trace.batch import Batch
from mmiotools.trace.gather import gather
from mmiotools.trace.header import PciDevice, TraceHeader
from mmiotools.trace.intervals import OverlapError
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Tape
from mmiotools.typed import Any, Callable, Mapping, NamedTuple, Sequence

#: Accesses that a driver may make beyond those recorded, before it is taken for one that will never end.
BEYOND = 1_000_000


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


def recorded_setup(meta: Mapping[str, Any], name: str = "the recording") -> Setup:
    """The machine and the tracer of the recording; the default ones where it says nothing.

    Raises UsageError when it asks for something that there is not.
    """
    options = meta.get("options")
    try:
        return Setup.from_options(options if isinstance(options, dict) else {})
    except UsageError as error:
        raise UsageError(f"{name}: cannot be replayed: {error}") from error


def recorded_seed(meta: Mapping[str, Any]) -> int:
    """The seed of the recorded run, 0 when it is not known."""
    seed = meta.get("seed")
    return seed if isinstance(seed, int) else 0


def replay_header(
    tape: Tape, chosen: Chosen, policy: str, seed: int | None = None, rules: Sequence[Rule] = ()
) -> TraceHeader:
    """The header of a trace of what the driver does in a replay."""
    options: dict[str, Any] = {"policy": policy, "fail": recorded_failures(tape.meta)}
    options |= recorded_setup(tape.meta).meta()
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


def mock_card(
    tape: Tape,
    policy: str = DEFAULT,
    pci: PciDevice | None = None,
    *,
    settings: Settings | None = None,
    irq: Sequence[str] = (AUTO,),
    names: Names | None = None,
    masks: MaskFile = NOTHING_SAID,
    plugin: Plugin | None = None,
) -> tuple[MockCard, Shadow | None]:
    """The mock card of a recording, with the model beside it that the recording names, if it is a bundled one.

    plugin  what the card does to memory, in place of that model
    irq    where interrupts come from: as `find_entries` has it, but "auto" prefers the model to a guess
    names  of registers, for `irq`
    masks  registers and bits that do not count

    Raises UsageError.
    """
    model = recorded_model(tape.meta, tape.pci) if plugin is None else None
    by_model = model is not None and AUTO in irq and not len(tape.irq_places)
    entries = find_entries(tape, (NONE,) if by_model and len(irq) == 1 else irq, names)
    if model is None:
        return MockCard(tape, policy, pci, plugin, settings=settings, masks=masks, irq=entries), None
    shadow = Shadow(model, by_model)
    return MockCard(tape, policy, pci, shadow, settings=settings, masks=masks, irq=entries), shadow


def replay(
    tape: Tape,
    chosen: Chosen,
    policy: str = DEFAULT,
    *,
    seed: int | None = None,
    sink: Callable[[Batch], None] | None = None,
    pci: PciDevice | None = None,
    rules: Sequence[Rule] = (),
    settings: Settings | None = None,
    irq: Sequence[str] = (AUTO,),
    names: Names | None = None,
    masks: MaskFile = NOTHING_SAID,
    fuzz: int = 0,
    plugin: Plugin | None = None,
) -> Replayed:
    """Run a driver against the mock card of a tape.

    seed   of the machine's clock and of the rules, else the recording's
    sink   given what the driver does, as a trace, in batches
    pci    how the card shall appear, if not as recorded
    rules  of fault injection between the driver and the mock card, whose books are of what reaches it
    settings, irq, names, masks, plugin  as `mock_card` has them; the report has the names too
    fuzz   accesses that may be extra, missed or differing before the replay has diverged

    The machine, its CPUs and its tracer are those of the recording. Kernel calls that failed in it fail again. Rules
    that it was made with are not applied: their effect is in the recorded values. An interrupt from the keyboard ends
    the run, and is the report's `problem`. Raises ExpressionError for a rule
    that does not fit the card, and UsageError for a machine or a register that there is not.
    """
    card, shadow = mock_card(
        tape, policy, pci, settings=settings, irq=irq, names=names, masks=masks, plugin=plugin
    )
    setup = recorded_setup(tape.meta)
    meta = replay_header(tape, chosen, policy, seed, rules).meta
    injector = Injector(card, rules, meta["seed"]) if rules else None
    device: Device = card if injector is None else injector
    services = _Services(card, setup.cpus > 1)
    stopped = False
    about = Event(Kind.HEADER, extra={"format": "mmiotools", "version": "1", "meta": meta})
    emit, flush = gather(sink or (lambda batch: None), about)
    try:
        outcome = run_driver(
            chosen.driver.versions[chosen.version],
            device,
            emit=emit if sink is not None else lambda event: None,
            # Which CPU goes on when, and what a defective engine brings down, depends on the tracer.
            trace=sink is not None or setup != Setup(),
            seed=meta["seed"],
            fail=recorded_failures(tape.meta),
            limit=len(tape) + BEYOND,
            setup=setup,
            started=services.watch,
        )
    except OverlapError as error:
        raise UsageError(f"the card's BARs overlap in the recording: {error}") from error
    except KeyboardInterrupt:
        outcome, stopped = Outcome(), True
    finally:
        flush()
    interrupts = card.interrupts
    if shadow is not None and shadow.interrupts:
        interrupts = Delivered(None, shadow.raised, 0, f"model {shadow.device.name}")
    ledger = card.finish()
    report = Report(
        ledger,
        policy,
        f"driver {chosen.driver.name}@{chosen.version}",
        card.pci,
        interrupts=interrupts,
        model=None if shadow is None or not services.used else shadow.device.name,
        fuzz=fuzz,
        names=names,
        stray=outcome.unclaimed_count,
        problem="interrupted" if stopped else None if outcome.error is None else str(outcome.error),
        status=EXIT_INTERRUPTED if stopped else EXIT_OK if outcome.error is None else outcome.error.status,
        limits=[
            *services.limits(shadow is not None or plugin is not None, interrupts.source != NONE),
            *(_unrecorded(tape, setup) if ledger.extra_count else ()),
        ],
    )
    return Replayed(report, outcome, () if injector is None else injector.tally)


class _Services:
    """Looks at the kernel that the driver runs in: which CPU is running, and what it asks for that no trace can give.

    by_cpu  shall the card know which CPU makes an access?
    """

    def __init__(self, card: MockCard, by_cpu: bool) -> None:
        self._card = card
        self._by_cpu = by_cpu
        #: "dma" and "irq"
        self.used: set[str] = set()

    def watch(self, kernel: Kernel) -> None:
        """To be called before the driver is."""
        if self._by_cpu:
            self._card.initiator = lambda: kernel.machine.current.number
        dma_alloc, request_irq = kernel.dma_alloc, kernel.request_irq

        def watched_dma_alloc(length: int) -> tuple[int, int]:
            self.used.add("dma")
            return dma_alloc(length)

        def watched_request_irq(handler: Callable[[], None]) -> int:
            self.used.add("irq")
            return request_irq(handler)

        kernel.dma_alloc = watched_dma_alloc  # type: ignore[method-assign]
        kernel.request_irq = watched_request_irq  # type: ignore[method-assign]

    def limits(self, model: bool, interrupts: bool) -> list[str]:
        """What of it the mock card did not do, without a model beside it, or without interrupts."""
        found = []
        if "dma" in self.used and not model:
            found.append(
                "the driver shares memory with the card: a trace does not hold what the card does there, and the mock "
                "card does nothing there; a driver that goes by it leaves the recording"
            )
        if "irq" in self.used and not interrupts:
            found.append(
                "the driver has an interrupt handler, and nothing says when the card raised its line: the mock card "
                "never does, and what the handler did is missed; --irq REGISTER names the register that it reads first"
            )
        return found


def _unrecorded(tape: Tape, setup: Setup) -> list[str]:
    """Why a recording may lack accesses that the same driver makes here."""
    found = []
    options = tape.meta.get("options")
    probe = options.get("probe") if isinstance(options, dict) else None
    if isinstance(probe, list) and probe:
        found.append(f"only {', '.join(map(str, probe))} was recorded: what the driver did elsewhere is extra here")
    quirks = list(setup.chosen_quirks())
    if quirks:
        mode = f"--compat {setup.compat}" if setup.compat != FIXED else f"quirks {', '.join(quirks)}"
        found.append(f"the recording was made with defects ({mode}): accesses that were let through are extra here")
    return found
