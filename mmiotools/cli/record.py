"""`mmiotools record`"""

from __future__ import annotations

import click

from mmiotools.cli.common import Run, choose_format, default_format, open_output, output_option, quiet_option, to_option
from mmiotools.devices import DEVICES
from mmiotools.drivers import DRIVERS
from mmiotools.engine.session import Outcome
from mmiotools.engine.truth import Checker
from mmiotools.errors import EXIT_DIFFERENT, EXIT_INTERRUPTED, MmioToolsError, UsageError
from mmiotools.record import make_plan, record_to, trace_header
from mmiotools.record.plan import parse_failure

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("The test driver of 2007, as text:", "mmiotools record nv-test -t mmiotrace"),
    ("Its second version, into a file:", "mmiotools record nv-test@2 -o nv-test-2.mmio"),
    ("An error path of it:", "mmiotools record nv-test --fail pci_request_regions=EBUSY -t mmiotrace"),
    ("Is every access of the driver in the trace?", "mmiotools record --check nv-init -o nv-init.mmio"),
]


def complete_drivers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of drivers."""
    return [name for name in DRIVERS.names() if name.startswith(incomplete)]


def complete_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of devices."""
    return [name for name in DEVICES.names() if name.startswith(incomplete)]


@click.command()
@click.argument("driver", metavar="DRIVER|SCENARIO.toml", shell_complete=complete_drivers)
@click.option(
    "--card", metavar="NAME|FILE", shell_complete=complete_devices, help="Device to record on; the driver's own if not."
)
@click.option("--seed", type=int, metavar="N", help="Seed of the machine's clock; 0 if not given.")
@click.option("--fail", multiple=True, metavar="CALL=ERRNO", help="Make a kernel call fail, as in ioremap=ENOMEM.")
@click.option(
    "--engine", type=click.Choice(["on", "off"]), default="on", show_default=True, help="With off nothing is probed."
)
@click.option("--check", is_flag=True, help="Hold the trace against what the card saw; exit 1 if they differ.")
@to_option
@output_option
@quiet_option
def command(
    driver: str,
    card: str | None,
    seed: int | None,
    fail: tuple[str, ...],
    engine: str,
    check: bool,
    to_format: str | None,
    output: str | None,
    quiet: bool,
) -> int:
    """Run a driver against an emulated device and record it.

    DRIVER is a bundled driver, NAME or NAME@VERSION (version 1 if not said), or a Python file that defines DRIVER.
    A file that ends in .toml is a scenario with the keys driver, card, seed and fail; options win over it. The same
    driver, card and seed give the same trace.

    The output is native on a pipe and in a file of unknown suffix, mmiotrace text on a terminal. The kernel log goes
    to standard error. A driver that returns an error code was recorded all the same; one that crashes ends the
    recording with status 2, and an interrupt with 130: the trace so far is kept.
    """
    run = Run(quiet)
    if check and engine == "off":
        raise UsageError("--check needs the engine: with --engine off there is nothing to check")
    plan = make_plan(driver, card=card, seed=seed, fail=dict(parse_failure(word) for word in fail))
    device = plan.device()
    checker = Checker(device.pci) if check else None
    target = choose_format(to_format, output, default_format(output))
    outcome: Outcome | None = None
    with open_output(run, output, target, trace_header(plan)) as sink:
        try:
            outcome = record_to(
                sink.write, plan, trace=engine == "on", device=device, watch=checker.add if checker else None
            )
        except KeyboardInterrupt:
            run.say("interrupted; the trace so far is kept")
            run.set_status(EXIT_INTERRUPTED)
        except MmioToolsError as error:
            # Raised by a device: as with a driver that crashes, what happened before it is worth keeping.
            run.say(str(error))
            run.set_status(error.status)
    if engine == "off":
        run.say("the engine is off: the driver ran unprobed, and the trace holds only header and device")
    if outcome is not None:
        _report(run, outcome)
        if checker is not None:
            _check(run, checker, outcome)
    return run.status


def _report(run: Run, outcome: Outcome) -> None:
    for line in outcome.log:
        run.say(f"kernel: {line}")
    if outcome.error is not None:
        run.say(str(outcome.error))
        run.set_status(outcome.error.status)
    elif outcome.returned:
        run.say(f"the driver's probe returned {outcome.returned}")
    if outcome.missed:
        run.say(f"not recorded: {outcome.missed} accesses to traced pages outside every mapping")


def _check(run: Run, checker: Checker, outcome: Outcome) -> None:
    truth = checker.verdict(outcome.seen)
    counts = f"{truth.right} right, {len(truth.lost)} lost, {len(truth.wrong)} wrong, {len(truth.invented)} invented"
    run.say(f"check: {counts}")
    if not truth.clean:
        run.set_status(EXIT_DIFFERENT)
