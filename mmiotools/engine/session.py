"""One run of a driver on a device: builds the machine, traces it or not, and says how it ended."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from mmiotools.engine.bus import Unclaimed
from mmiotools.engine.explain import explain_recursion
from mmiotools.engine.interface import Device, Marking, Seen
from mmiotools.engine.interrupts import Irq
from mmiotools.engine.kernel import Kernel
from mmiotools.engine.kmmio import EMULATE, Kmmio
from mmiotools.engine.machine import BadAccess, Machine
from mmiotools.engine.mmiotrace import Emit, MmioTrace
from mmiotools.engine.mmu import PAGE_SHIFT, PF_PROTECTION
from mmiotools.engine.schedule import Chooser, by_chance
from mmiotools.engine.setup import OFF, Setup
from mmiotools.engine.witness import Witness
from mmiotools.errors import DriverError, EngineFailure, MmioToolsError
from mmiotools.typed import Any, Callable, Generator, Mapping

_ENGINE = str(Path(__file__).parent) + os.sep


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    returned    what the probe function returned, None when it did not get that far (or returned None)
    error       why it did not get that far: it names the driver's file and line, and the address if there is one
    log         kernel log, printk lines and the kernel's own warnings
    seen        what the device saw of this run; `initiators` the CPU of each that is not of configuration space,
                empty with one CPU
    causes      quirk → accesses that it let through unrecorded, when they were watched
    accesses    instructions that the driver ran
    faults      page faults taken; `steps` single steps
    missed      accesses in a traced page but outside every mapping: not recorded
    unclaimed   accesses that no device answered, the first ones; `unclaimed_count` of them in all
    irqs        what the device did to its interrupt lines
    """

    returned: int | None = None
    error: DriverError | EngineFailure | None = None
    log: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    initiators: list[int] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)
    accesses: int = 0
    faults: int = 0
    steps: int = 0
    missed: int = 0
    unclaimed: list[Unclaimed] = field(default_factory=list)
    unclaimed_count: int = 0
    irqs: list[Irq] = field(default_factory=list)


def run_driver(
    probe: Callable[..., Any],
    device: Device,
    *,
    emit: Emit,
    trace: bool = True,
    seed: int = 0,
    fail: Mapping[str, int] | None = None,
    limit: int | None = None,
    setup: Setup | None = None,
    watch: bool = False,
    chooser: Chooser | None = None,
    started: Callable[[Kernel], None] | None = None,
) -> Outcome:
    """Run a driver's probe function on a device in a machine of its own.

    probe   called with the kernel (`interface.Kernel`); returns 0 or a negative errno, or a
            generator that does so: what the first CPU does
    device  attached, not reset: it starts in the state that it is in
    emit    called with every event as it happens, HEADER and DEVICE first; not called when `trace` is False
    seed    of the machine's clock: when it starts and how long each access takes
    fail    kernel calls that shall fail, with what they return: {"pci_enable_device": -5}
    limit   accesses after which the driver is stopped with an error, None for never
    setup   the machine and its tracer, if not the default ones
    watch   find out which quirk each unrecorded access is due to
    chooser  which CPU goes on; by chance from the seed if not given
    started  called with the kernel before the driver is

    The driver's exceptions and bad accesses, and the DriverError of a front end that runs machine code, end up in the
    outcome. What `emit` raises, a KeyboardInterrupt, and any other MmioToolsError (a device's) come out of here as
    they are. Raises UsageError for an unknown name in `fail`.
    """
    setup = Setup() if setup is None else setup
    quirks = setup.chosen_quirks()
    machine = Machine(setup.cpus, seed, setup.paging)
    kmmio = Kmmio(machine, EMULATE if setup.policy == OFF else setup.policy, quirks)
    if fail and "fault_page" in fail:
        kmmio.probes.grants = 1
    trace = trace and setup.policy != OFF
    only = [(first, last + 1) for first, last in setup.only]
    tracer = MmioTrace(kmmio, emit, only or None) if trace else None
    kernel = Kernel(
        machine,
        device,
        tracer=tracer,
        fail=fail,
        limit=limit,
        lazy_directories=setup.directories == "lazy",
        large_pages=setup.large,
        chooser=by_chance(seed) if chooser is None else chooser,
    )
    machine.explain = lambda cpu: explain_recursion(machine, cpu, quirks, kernel.place(cpu.cr2))
    witness = Witness(machine, kmmio, tracer) if watch and tracer is not None else None
    already_seen = len(device.seen)
    if isinstance(device, Marking):
        device.mark = kernel.trace_marker
    if tracer is not None:
        tracer.begin(device.pci)
    outcome = Outcome(log=kernel.log, irqs=kernel.interrupts.history)
    if started is not None:
        started(kernel)
    try:
        returned: object = probe(kernel)
        if isinstance(returned, Generator):
            returned = kernel.run_program(returned)
        if kernel.oops is not None:
            raise kernel.oops
        if returned is not None and not isinstance(returned, int):
            raise TypeError(f"the probe function returned {returned!r}, not a number")
        outcome.returned = returned
    except (Exception, SystemExit) as caught:
        outcome.error = _error(caught, kernel, tracer)
    outcome.seen = device.seen[already_seen:]
    outcome.initiators = kernel.initiators
    outcome.causes = {} if witness is None else witness.causes
    outcome.accesses = machine.retired
    outcome.faults, outcome.steps, outcome.missed = machine.faults, machine.steps, kmmio.missed
    outcome.unclaimed, outcome.unclaimed_count = machine.bus.unclaimed, machine.bus.unclaimed_count
    outcome.log.extend(kmmio.probes.log)
    return outcome


def _error(caught: BaseException, kernel: Kernel, tracer: MmioTrace | None) -> DriverError | EngineFailure:
    """The error of the outcome; raises instead what is not the driver's."""
    if tracer is not None and tracer.sink_error is not None:
        raise tracer.sink_error
    # What killed the driver, even if it raised something else while it fell.
    cause = kernel.oops if kernel.oops is not None else caught
    if isinstance(cause, DriverError):
        # From a front end that runs machine code, with the place in that code.
        return cause
    # A front end that runs machine code knows the place better than its own frames do.
    notes = getattr(cause, "__notes__", None)
    where = notes[0] if notes else _where(cause.__traceback__)
    if isinstance(cause, EngineFailure):
        told = f" (quirk {cause.quirk})" if cause.quirk is not None else ""
        return type(cause)(f"{where}{cause}{told}", cause.quirk)
    if isinstance(cause, BadAccess):
        place = kernel.place(cause.addr)
        at = f" ({place})" if place else ""
        if kernel.mapped(cause.addr) and not cause.code & PF_PROTECTION:
            lost = "kernel oops: the page is mapped, but the fault engine left it absent"
            quirk = None if tracer is None else tracer.kmmio.stepping.why_absent(cause.addr >> PAGE_SHIFT)
            told = "" if quirk is None else f" (quirk {quirk})"
            return EngineFailure(f"{where}{cause}{at}: {lost}{told}", quirk)
        return DriverError(f"{where}{cause}{at}")
    if not isinstance(cause, Exception | SystemExit) or isinstance(cause, MmioToolsError):
        raise cause
    what = str(cause)
    if not type(cause).__module__.startswith("mmiotools.engine."):
        what = " ".join(traceback.format_exception_only(cause)[-1].split())
    return DriverError(f"{where}{what}")


def _where(trace: TracebackType | None) -> str:
    """"file:line: " of the driver, and of the device if it is the device that failed; "" when it never got there."""
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(trace)]
    outside = [n for n, (name, _) in enumerate(frames) if not name.startswith(_ENGINE)]
    # Frames go engine (this file), driver …, engine, device …: the last of the first run outside is the driver's.
    if not outside:
        return ""
    run = frames[outside[0] : next(n for n in outside if n + 1 not in outside) + 1]
    # A library that the driver called is not where people will look.
    driver = outside[0] + max(n for n, (name, _) in enumerate(run) if name == run[0][0])
    last = outside[0] + len(run) - 1
    places = [driver] if outside[-1] == last else [driver, outside[-1]]
    return "".join(f"{_relative(frames[n][0])}:{frames[n][1]}: " for n in places)


def _relative(name: str) -> str:
    here = os.getcwd() + os.sep
    return name.removeprefix(here)
