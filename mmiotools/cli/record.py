"""`mmiotools record`"""

from __future__ import annotations

import click

from mmiotools.cli.common import Run, choose_format, default_format, load_regs, open_output
from mmiotools.cli.options import output_option, quiet_option, regs_option, to_option
from mmiotools.devices import DEVICES
from mmiotools.drivers import DRIVERS
from mmiotools.engine.inject import Injector
from mmiotools.engine.interface import Device
from mmiotools.engine.mmu import PAGING
from mmiotools.engine.quirks import COMPATS, QUIRKS
from mmiotools.engine.session import Outcome
from mmiotools.engine.setup import ENGINES, OFF, SHORT
from mmiotools.engine.truth import Checker, Truth
from mmiotools.errors import EXIT_DIFFERENT, EXIT_INTERRUPTED, MmioToolsError, UsageError
from mmiotools.record import make_plan, record_to, trace_header
from mmiotools.record.plan import bundled_scenarios, parse_failure
from mmiotools.typed import Any

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("The test driver of 2007, as text:", "mmiotools record nv-test -t mmiotrace"),
    ("Its second version, into a file:", "mmiotools record nv-test@2 -o nv-test-2.mmio"),
    ("An error path of it:", "mmiotools record nv-test --fail pci_request_regions=EBUSY -t mmiotrace"),
    ("Is every access of the driver in the trace?", "mmiotools record --check nv-init -o nv-init.mmio"),
    (
        "What four CPUs do to one page, and what today's kernel sees of it (exit status 1):",
        "mmiotools record nv-smp --cpus 4 --compat mainline --check -t jsonl || true",
    ),
    (
        "The recursive fault of 2007, explained (exit status 1):",
        "mmiotools record nv-test --compat seed --scenario stale-pgd -t mmiotrace || true",
    ),
    (
        "A register that reads as all ones after a while:",
        "mmiotools record nv-init --inject 'read BAR0+0x100 -> 0xffffffff after 2' -t mmiotrace",
    ),
    ("The interrupt registers alone:", "mmiotools record nv-test --probe BAR0+0x600100-0x6001ff -t mmiotrace"),
    (
        "By their names: the transmit descriptors' registers alone, and a link that never comes up:",
        "mmiotools record nic-init --regs auto --probe TDBAL-TDT --inject 'read STATUS stuck bit 1 = 0' -t mmiotrace",
    ),
]


def complete_drivers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of drivers."""
    return [name for name in DRIVERS.names() if name.startswith(incomplete)]


def complete_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of devices."""
    return [name for name in DEVICES.names() if name.startswith(incomplete)]


def complete_quirks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of quirks."""
    return [quirk.name for quirk in QUIRKS if quirk.name.startswith(incomplete)]


def complete_scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of bundled scenarios."""
    return [scenario.name for scenario in bundled_scenarios() if scenario.name.startswith(incomplete)]


@click.command()
@click.argument("driver", metavar="DRIVER|SCENARIO.toml", required=False, shell_complete=complete_drivers)
@click.option(
    "--card",
    metavar="NAME|FILE",
    shell_complete=complete_devices,
    help="Device to record on, or a card file from mmiotools-learn(1); the driver's own if not.",
)
@click.option(
    "--scenario",
    metavar="NAME|FILE",
    shell_complete=complete_scenarios,
    help="A bundled scenario (see `mmiotools list scenarios`), or a file.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of clock, scheduler and --inject; 0 if not given.")
@click.option("--fail", multiple=True, metavar="CALL=ERRNO", help="Make a kernel call fail, as in ioremap=ENOMEM.")
@click.option("--inject", multiple=True, metavar="RULE", help="Make the card misbehave, as in 'remove after 20'.")
@click.option(
    "--engine",
    type=click.Choice([*ENGINES, *SHORT]),
    help="How accesses are caught; off probes nothing. emulate if not given, step with --compat seed or mainline.",
)
@click.option("--machine", type=click.Choice(list(PAGING)), help="x86_64 if not given, i386 with --compat seed.")
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="CPUs of the machine; 1 if not given.")
@click.option(
    "--compat", type=click.Choice(list(COMPATS)), help="Whose defects the engine has; fixed, with none, if not given."
)
@click.option("--quirk", multiple=True, metavar="NAME", shell_complete=complete_quirks, help="Turn a defect on.")
@click.option("--no-quirk", multiple=True, metavar="NAME", shell_complete=complete_quirks, help="Turn a defect off.")
@click.option("--probe", multiple=True, metavar="RANGE", help="Probe only this range (BAR0+0x100-0x1ff) or register.")
@click.option("--check", is_flag=True, help="Hold the trace against what the card saw; exit 1 if they differ.")
@regs_option
@to_option
@output_option
@quiet_option
def command(
    driver: str | None,
    card: str | None,
    scenario: str | None,
    seed: int | None,
    fail: tuple[str, ...],
    inject: tuple[str, ...],
    engine: str | None,
    machine: str | None,
    cpus: int | None,
    compat: str | None,
    quirk: tuple[str, ...],
    no_quirk: tuple[str, ...],
    probe: tuple[str, ...],
    check: bool,
    regs: tuple[str, ...],
    to_format: str | None,
    output: str | None,
    quiet: bool,
) -> int:
    """Run a driver against an emulated device and record it.

    DRIVER is a bundled driver, NAME or NAME@VERSION (version 1 if not said), or a file: Python that defines DRIVER, or
    an object file (.o) compiled from C. A file that ends in .toml is a scenario; options win over it, or add to it.
    The same driver, card, options and seed give the same trace. With --regs, --probe and --inject take names of
    registers, as in --probe 'RDBAL-RDT' or --inject 'read ICR -> 0'; the recording says their offsets.

    The output is native on a pipe and in a file of unknown suffix, mmiotrace text on a terminal. The kernel log goes
    to standard error. A driver that returns an error code was recorded all the same; one that crashes ends the
    recording with status 2, one that the fault engine brought down (a recursive fault, a deadlock) with 1, and an
    interrupt with 130: the trace so far is kept.
    """
    run = Run(quiet)
    names = load_regs(run, regs)
    options: dict[str, Any] = {"machine": machine, "cpus": cpus, "engine": engine, "compat": compat}
    options |= {"quirks": list(quirk), "no_quirks": list(no_quirk)}
    plan = make_plan(
        driver,
        scenario=scenario,
        card=card,
        seed=seed,
        fail=dict(parse_failure(word) for word in fail),
        inject=inject,
        probe=probe,
        options=options,
        names=names,
    )
    if check and plan.setup.policy == OFF:
        raise UsageError("--check needs the engine: with --engine off there is nothing to check")
    device = plan.device()
    plan.setup_for(device)
    checker = Checker(device.pci) if check else None
    target = choose_format(to_format, output, default_format(output))
    outcome: Outcome | None = None
    with open_output(run, output, target, trace_header(plan), names=names) as sink:
        try:
            outcome = record_to(sink.write, plan, device=device, watch=checker.add if checker else None)
        except KeyboardInterrupt:
            run.say("interrupted; the trace so far is kept")
            run.set_status(EXIT_INTERRUPTED)
        except MmioToolsError as error:
            # Raised by a device: as with a driver that crashes, what happened before it is worth keeping.
            run.say(str(error))
            run.set_status(error.status)
    if plan.setup.policy == OFF:
        run.say("the engine is off: the driver ran unprobed, and the trace holds only header and device")
    if outcome is not None:
        _report(run, device, outcome)
        if checker is not None:
            _check(run, checker, outcome, "old-decoder" in plan.setup.chosen_quirks())
    return run.status


def _report(run: Run, device: Device, outcome: Outcome) -> None:
    for line in outcome.log:
        run.say(f"kernel: {line}")
    if outcome.error is not None:
        run.say(str(outcome.error))
        run.set_status(outcome.error.status)
    elif outcome.returned:
        run.say(f"the driver's probe returned {outcome.returned}")
    if outcome.missed:
        run.say(f"not recorded: {outcome.missed} accesses to probed pages outside every probe")
    if isinstance(device, Injector):
        for text in device.unused:
            run.say(f"inject: never used: {text}")


def _check(run: Run, checker: Checker, outcome: Outcome, old_decoder: bool) -> None:
    verdicts = checker.verdict_by_cpu(outcome.seen, outcome.initiators)
    for cpu, truth in verdicts.items():
        where = f" CPU {cpu}:" if len(verdicts) > 1 else ""
        run.say(f"check:{where} {_counts(truth)}")
        if not truth.clean:
            run.set_status(EXIT_DIFFERENT)
    for quirk, lost in sorted(outcome.causes.items()):
        run.say(f"check: {lost} let through unrecorded by {quirk}")
    wrong = sum(len(truth.wrong) for truth in verdicts.values())
    if wrong and old_decoder:
        run.say(f"check: {wrong} decoded wrongly by old-decoder")


def _counts(truth: Truth) -> str:
    return f"{truth.right} right, {len(truth.lost)} lost, {len(truth.wrong)} wrong, {len(truth.invented)} invented"
