"""From a plan to a trace: events of the engine in batches, with a header that says how to make them again."""

from __future__ import annotations

from mmiotools.engine.interface import Device
from mmiotools.engine.mmiotrace import VERSION
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import OFF
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.record.plan import Plan
from mmiotools.trace.batch import Batch
from mmiotools.trace.gather import gather
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.intervals import OverlapError
from mmiotools.typed import Callable


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
    watch   called with every event, in order; the run is then watched for what is not recorded

    With the engine off the driver runs unprobed, and only the header and the device are given.

    An exception that ends the run early, KeyboardInterrupt too, comes out after the events so far were given.
    Raises UsageError when the device cannot be used.
    """
    device = plan.device() if device is None else device
    setup = plan.setup_for(device)
    about = Event(Kind.HEADER, extra={"format": "mmiotools", "version": "1", "meta": plan.meta()})
    emit, flush = gather(sink, about, watch)
    if setup.policy == OFF:
        emit(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": VERSION}))
        emit(Event(Kind.DEVICE, extra=device.pci.extra()))
    probe = plan.chosen.driver.versions[plan.chosen.version]
    try:
        return run_driver(
            probe, device, emit=emit, seed=plan.seed, fail=plan.fail, setup=setup, watch=watch is not None
        )
    except OverlapError as error:
        raise UsageError(f"card '{plan.card}': its BARs overlap: {error}") from error
    finally:
        flush()
