"""`mmiotools replay`"""

from __future__ import annotations

import json
from functools import partial

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from mmiotools.cli.common import Run, choose_format, open_output
from mmiotools.cli.grouped import Grouped
from mmiotools.cli.options import from_option, quiet_option
from mmiotools.cli.replay_terms import Terms, tell_rules, terms_options
from mmiotools.drivers import Chosen, choose_driver
from mmiotools.engine.inject_data import Rule
from mmiotools.engine.inject_names import spell_rule
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.interface import Plugin
from mmiotools.errors import EXIT_DIFFERENT, EXIT_INTERRUPTED, UsageError
from mmiotools.plugins import PLUGINS, make_plugin
from mmiotools.record.plan import make_card
from mmiotools.replay import Report, Tape, apply_to, load_tape, recorded_driver, replay
from mmiotools.replay.run import replay_header
from mmiotools.serve.qtest_card import PREFIX, QemuModel, QtestCard
from mmiotools.typed import Any, ClassVar, Sequence

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("A recording of a driver answers the same driver:", "mmiotools record nv-test | mmiotools replay"),
    (
        "Where its next version leaves the recording (exit status 1):",
        "mmiotools record nv-test | mmiotools replay --driver nv-test@2 || true",
    ),
    (
        "The reads that a device model answers as the hardware did:",
        "mmiotools record nv-test | mmiotools replay --device nv-card",
    ),
    (
        "What version 2 of a driver does differently, by the names of registers (exit status 1):",
        "mmiotools record nic-init | mmiotools replay --driver nic-init@2 --regs e1000 --irq ICR || true",
    ),
    (
        "The same, with registers set aside whose values are known to differ, and two accesses more tolerated:",
        "mmiotools record nv-init | mmiotools replay --driver nv-init@2 --ignore BAR0+0x680600 --fuzz 2",
    ),
    (
        "What the driver does when the card goes away under it (exit status 1):",
        "mmiotools record nv-init | mmiotools replay --inject 'remove after 20' || true",
    ),
    (
        "Offer the mock card to a client of vfio-user, for a tenth of a second (exit status 2, for nobody comes):",
        "mmiotools record nv-test -o test.mmio && "
        "mmiotools replay test.mmio --serve vfio-user:./card --timeout 0.1 || true",
    ),
]


#: Parameters that mean nothing where no driver runs.
_FOR_DRIVERS = {
    *("policy", "window", "irq", "cards", "driver", "seed", "inject", "plugin", "serve", "qemu", "timeout", "config"),
    "as_trace",
}


#: Sections of the man page beside what --help says: heading, and paragraphs.
DETAILS = (
    (
        "WAITS AND INTERRUPTS",
        "Under window and model a register that is polled until it changes may be read more or less often than "
        "recorded. With --timing recorded it changes when its time has come, not after as many reads.",
        "The card raises its interrupt line where the recording has a handler begin: before a read of the cause "
        "register that is not 0. --irq names that register; if it does not, recorded interrupts are taken, or the "
        "model of a bundled card, or a register that behaves like one. For recordings of bundled cards the model also "
        "does what the card does to memory.",
    ),
    (
        "MASKS AND FAULTS",
        "--fuzz tolerates that many accesses that are extra, missed or differing. --mask and --ignore take what diff "
        "takes: masked bits do not make a written value differ (with --device: what is read), and ignored registers "
        "are answered, but not in the report.",
        "--inject puts a fault between the driver and the mock card, by a rule like 'read BAR0+0x8 -> 0xffffffff after "
        "10', 'read BAR0+0x100-0x1ff flip 0.01', 'write BAR0+0x10 drop', 'irq spurious every 100' or 'remove after "
        "1000'; it may be given several times. The report is of what reaches the card. Rules that the recording was "
        "made with are not applied again, because the recorded values hold their effect.",
    ),
    (
        "A REAL KERNEL",
        "--qemu starts a QEMU with the mock card in it: its words are QEMU's arguments, as \"-kernel vmlinuz -initrd "
        "initrd.img -append 'console=ttyS0'\", and the program before them if it is not qemu-system-x86_64 or what the "
        "environment variable QEMU names. Shared memory, the card in its recorded slot and a serial console on "
        "standard error are added. The transport is vfio-user where that QEMU has vfio-user-pci (10.1 and later), else "
        "mpqemu where it has x-pci-proxy-dev and needs no KVM for it (before 8.2, as in Debian 12); --serve vfio-user "
        "or --serve mpqemu decides. The report comes when the guest has powered off, or at --timeout, with Ctrl-C, and "
        "when anything breaks; no QEMU is left over.",
        "--serve vfio-user:PATH listens at a UNIX socket for one client, such as a QEMU with -device "
        '\'{"driver":"vfio-user-pci","socket":{"path":"PATH","type":"unix"}}\'. --serve mpqemu:PATH does so for '
        "x-pci-proxy-dev, which takes a descriptor and no path: `python -m mmiotools.serve.connect PATH "
        "qemu-system-x86_64 -device x-pci-proxy-dev,fd={fd},addr=3 -qtest unix:PATH.qtest ...` connects, and becomes "
        "QEMU; interrupts go through its qtest. In both cases the guest's memory must be shared: -object "
        "memory-backend-memfd,id=ram,size=1G,share=on -machine memory-backend=ram.",
    ),
    (
        "A DEVICE MODEL",
        "With --device every recorded access is done on the device at its recorded time, and what reads give is "
        "compared; the report names the registers that answered differently. A device of QEMU's gets the accesses "
        "through QEMU's qtest protocol: where this QEMU has no `accel=qtest`, as in Debian 12, that takes as long as "
        "the recording did, unless --timing says otherwise. Options that say how a driver is answered make no sense "
        "then, and are refused.",
    ),
)


class _Replay(Grouped):
    more = "mmiotools-replay(1) has more about waits, interrupts, masks, faults, real kernels, and device models."
    groups: ClassVar = {
        "What runs": ("driver", "qemu", "serve", "timeout", "device"),
        "How the card answers": ("policy", "window", "timing", "irq", "card", "plugin", "config", "inject", "seed"),
        "What counts": ("fuzz", "mask", "ignore", "regs"),
    }


def complete_transports(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of transports."""
    from mmiotools.serve import TRANSPORTS

    return [name for name in TRANSPORTS.names() if name.startswith(incomplete)]


def complete_plugins(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion: names of plugins, and files."""
    found = [CompletionItem(name) for name in PLUGINS.names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


@click.command(cls=_Replay)
@click.argument("trace", required=False, type=click.Path(), metavar="[TRACE]")
@terms_options
@click.option("--driver", metavar="NAME[@VERSION]|FILE", help="Run this driver, not the one the recording names.")
@click.option(
    "--device",
    metavar="NAME|FILE|qemu:NAME",
    help="Apply the recording to a device model, and compare its reads; QEMU's are qemu:NAME[,PROPERTY=VALUE...].",
)
@click.option("--pci", metavar="ADDRESS|IDS", help="The card to mock, like 00:03.0 or 8086:100e.")
@click.option("--seed", type=int, metavar="N", help="Seed of clock and --inject; the recording's when not given.")
@click.option("--inject", multiple=True, metavar="RULE", help="Make the mock card misbehave, as in 'remove after 20'.")
@click.option(
    "--serve",
    metavar="TRANSPORT[:PATH]",
    shell_complete=complete_transports,
    help="Serve the mock card to a QEMU: vfio-user:PATH, or mpqemu with --qemu (see `mmiotools list transports`).",
)
@click.option(
    "--qemu",
    metavar="'ARGS...'",
    help="Start a QEMU with the card in it, and these arguments; the program's name may come first.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How long --qemu or --serve may take; then the report comes.",
)
@click.option(
    "--plugin",
    metavar="NAME|FILE",
    shell_complete=complete_plugins,
    help="What the card does to memory (see `mmiotools list plugins`).",
)
@click.option(
    "--config",
    type=click.Path(),
    metavar="FILE|CLASS",
    help="Configuration space of the served card, from /sys/bus/pci/devices/ADDRESS/config; or its class, as 0x010802.",
)
@click.option("--as-trace", type=click.Path(), metavar="FILE", help="Write what the driver did to FILE, as a trace.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
@from_option
@quiet_option
def command(
    trace: str | None,
    driver: str | None,
    device: str | None,
    pci: str | None,
    seed: int | None,
    inject: tuple[str, ...],
    serve: str | None,
    qemu: str | None,
    timeout: float | None,
    plugin: str | None,
    config: str | None,
    as_trace: str | None,
    as_json: bool,
    from_format: str | None,
    quiet: bool,
    **chosen_terms: Any,
) -> int:
    """Answer a driver from a recording, and report where it parts.

    TRACE is a file, or standard input when it is missing or "-". The card with most accesses in it becomes a mock card:
    it answers by BAR and offset, wherever its BARs lie. The driver is the one that the recording names, if it is a
    bundled one; --driver names another, or a Python file that defines DRIVER. --qemu puts the card into a virtual
    machine, where a real driver finds it, and --serve offers it to one that runs already. With --device no driver
    runs: the recorded accesses are applied to a device model, and its reads are compared.

    The policy finds the recorded access that answers the driver's. window, the default, keeps the recorded order, and
    looks for an access that comes early or late among the next recorded ones that are not done; strict wants the next
    one; queue takes each register by itself; model asks learned models where the driver leaves the recording.

    The exit status is 0 when the replay completed, and 1 when more accesses than --fuzz says (none) were extra, missed
    or differing.
    """
    run = Run(quiet)
    if not chosen_terms["regs"]:
        parse_rules(inject)  # before the trace is read
    if device is not None:
        _refuse_for_device()
    terms = Terms(**chosen_terms)
    compared = terms.comparison(run)
    card = terms.card(compared)
    plan = None
    if serve is not None or qemu is not None:
        if driver is not None:
            raise UsageError("--serve and --qemu bring a driver of their own: leave --driver out")
        from mmiotools.cli.replay_serve import Options, Plan, serve_tape

        plan = Plan(Options(serve, qemu, timeout, plugin, config, as_trace, seed))
    elif timeout is not None or config is not None:
        raise UsageError("--timeout and --config need --serve or --qemu")
    chosen = None if driver is None else choose_driver(driver)
    model = None if device is None else QemuModel.parse(device) if device.startswith(PREFIX) else make_card(device)
    opened = run.open_input(trace, from_format)
    tape = load_tape(opened, pci)
    names = compared["names"]
    rules = parse_rules(spell_rule(text, names, tape.pci) for text in inject) if names else parse_rules(inject)
    if plan is not None:
        report = serve_tape(run, tape, terms, card, plan, rules, trace)
    elif isinstance(model, QemuModel):
        with QtestCard(model, tape.pci, tape.bars, terms.pace) as served:
            report = apply_to(tape, served, **compared)
        report.limits = [*report.limits, *served.notes]
    elif model is not None:
        report = apply_to(tape, model, **compared)
    else:
        if chosen is None:
            chosen = recorded_driver(tape.meta, opened.name)
        made = None if plugin is None else make_plugin(plugin)
        report = _replay(run, tape, chosen, terms, card, seed, rules, as_trace, trace, made)
    click.echo(json.dumps(report.to_json()) if as_json else "\n".join(report.lines()))
    if report.diverged:
        run.set_status(EXIT_DIFFERENT)
    # What a driver fell over where it had left the recording is no error of its own.
    left = chosen is not None and report.diverged and report.status != EXIT_INTERRUPTED
    if report.problem is not None and not left:
        run.say(report.problem)
        run.set_status(report.status)
    return run.status


def _refuse_for_device() -> None:
    """Raises UsageError for an option that says how a driver is answered, because with --device none runs."""
    context = click.get_current_context()
    for param in context.command.params:
        given = context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and param.name in _FOR_DRIVERS:
            raise UsageError(f"{param.opts[0]} and --device exclude each other: with --device no driver runs")


def _replay(
    run: Run,
    tape: Tape,
    chosen: Chosen,
    terms: Terms,
    card: dict[str, Any],
    seed: int | None,
    rules: Sequence[Rule],
    as_trace: str | None,
    trace: str | None,
    plugin: Plugin | None,
) -> Report:
    run_it = partial(replay, tape, chosen, seed=seed, rules=rules, fuzz=terms.fuzz, plugin=plugin, **card)
    if as_trace is None:
        done = run_it()
    else:
        target = choose_format(None, as_trace, "native")
        header = replay_header(tape, chosen, terms.policy, seed, rules)
        with open_output(run, as_trace, target, header, (trace,)) as sink:
            done = run_it(sink=sink.write)
    if done.report.interrupts.guessed:
        run.say(f"interrupts: {done.report.interrupts.source}; --irq names another register, or none")
    for line in done.outcome.log:
        run.say(f"kernel: {line}")
    tell_rules(run, done.tally)
    if done.outcome.returned:
        run.say(f"the driver's probe returned {done.outcome.returned}")
    return done.report
