"""From a plan to a trace: events of the engine in batches, with a header that says how to make them again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from mmiotools.engine.interface import Device
from mmiotools.engine.mmiotrace import VERSION
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import OFF
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.record.plan import Plan
from mmiotools.trace.batch import Batch, Builder
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.intervals import OverlapError

#: Events that are handed on together.
BATCH_EVENTS = 4096


def trace_header(plan: Plan) -> TraceHeader:
    """The header of the recording: times are microseconds of the emulated machine's clock since it booted."""
    return TraceHeader(format="mmiotrace", clock="boot", time_digits=6, meta=plan.meta())


def record_to(
    sink: Callable[[Batch], None],
    plan: Plan,
    *,
    device: Device | None = None,
    watch: Callable[[Event], None] | None = None,
) -> Outcome:
    """Run the plan's driver and give every event to `sink`, in batches.

    device  use this one instead of a new one
    watch   called with every event of the engine as it happens; the run is then watched for what is not recorded

    With the engine off the driver runs unprobed, and only the header and the device are given.

    An exception that ends the run early, KeyboardInterrupt too, comes out after the events so far were given.
    Raises UsageError when the device cannot be used.
    """
    device = plan.device() if device is None else device
    setup = plan.setup_for(device)
    pending = Builder()

    def flush() -> None:
        with _uninterrupted():
            if len(pending):
                sink(pending.finish())

    def emit(event: Event) -> None:
        if watch is not None:
            watch(event)
        pending.append(event)
        if event.kind == Kind.HEADER:
            pending.append(_about(plan))
        if len(pending) >= BATCH_EVENTS:
            flush()

    if setup.policy == OFF:
        emit(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": VERSION}))
        pending.append(Event(Kind.DEVICE, extra=device.pci.extra()))
    probe = plan.chosen.driver.versions[plan.chosen.version]
    try:
        return run_driver(
            probe, device, emit=emit, seed=plan.seed, fail=plan.fail, setup=setup, watch=watch is not None
        )
    except OverlapError as error:
        raise UsageError(f"card '{plan.card}': its BARs overlap: {error}") from error
    finally:
        flush()


def _about(plan: Plan) -> Event:
    return Event(Kind.HEADER, extra={"format": "mmiotools", "version": "1", "meta": plan.meta()})


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until a batch is written: half a batch, or one written twice, would be no valid trace."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
