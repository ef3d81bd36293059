"""`mmiotools learn`"""

from __future__ import annotations

from collections import Counter

import click

from mmiotools.cli.common import Run, load_regs, open_bytes
from mmiotools.cli.options import from_option, output_option, quiet_option, regs_option
from mmiotools.errors import UsageError
from mmiotools.models.card import Card, learn_card
from mmiotools.models.cardfile import card_text
from mmiotools.models.kinds import KINDS
from mmiotools.models.score import MODEL, MODELS, NAIVE, SEQUENCE_LAST, Judge, Score
from mmiotools.models.step import perturbed, steps
from mmiotools.models.stream import Place, join
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.in_c import json_text
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Tape, load_tape
from mmiotools.typed import Any, Callable

SCHEMA = "mmiotools.learn/1"

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "The register models of a disk, as a file to read and edit:",
        "mmiotools learn samples/mmiotrace/nvme-linux6.1.mmiotrace --regs nvme -o nvme-card.toml",
    ),
    (
        "How well they answer another recording, which they were not learned from:",
        "mmiotools learn samples/mmiotrace/nvme-linux6.1.mmiotrace --score samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
    (
        "Learn a card from a driver at work, and record the driver's next version on it:",
        "mmiotools record -q nv-init@1 | mmiotools learn -q -o nv.toml && "
        "mmiotools record -q nv-init@2 --card nv.toml -t mmiotrace",
    ),
]


@click.command()
@click.argument("traces", nargs=-1, type=click.Path(), metavar="TRACE...")
@click.option("--pci", metavar="ADDRESS|IDS", help="The card to learn, like 00:03.0 or 8086:100e.")
@click.option(
    "--score",
    "held_out",
    multiple=True,
    type=click.Path(),
    metavar="HELD-OUT",
    help="Measure the models on this recording, which they were not learned from.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="With --score: of all accesses, how many are dropped or repeated in the second measurement.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="With --score: which accesses.")
@click.option("--json", "as_json", is_flag=True, help="Summary and scores as one JSON object.")
@regs_option
@from_option
@output_option
@quiet_option
def command(
    traces: tuple[str, ...],
    pci: str | None,
    held_out: tuple[str, ...],
    rate: float,
    seed: int,
    as_json: bool,
    regs: tuple[str, ...],
    from_format: str | None,
    output: str | None,
    quiet: bool,
) -> int:
    """Infer what a card's registers do from recordings of it.

    Each register is constant, storage (bit by bit), a counter, index and data, a status that follows a write elsewhere,
    busy until polled so often or so long, cleared by writing ones or by reading, a FIFO, a serial device behind single
    bits, or changes by itself; with the reads that bear this out and those that speak against it. The result is a TOML
    file to read and edit, on standard output or in OUTPUT. `record --card` makes a device of it, `replay --policy
    model` answers with it, and `--regs` takes it for a register map. Several recordings of one card are better than
    one.

    With --score no file is written unless -o names one. Each HELD-OUT is taken for a driver that makes the recorded
    accesses, and every read is predicted, by the models and by four ways that learn nothing: plain RAM, the last value
    recorded, a queue of recorded values for each register, and the recording in its order. Then again with some
    accesses dropped or repeated at random. The stated confidences are held against what was right, in ten bins.

    Without TRACE, or for "-", standard input is read.
    """
    run = Run(quiet)
    traces = traces or ("-",)
    if [*traces, *held_out].count("-") > 1:
        raise UsageError("standard input can be read once only")
    names = load_regs(run, regs)
    tapes = [load_tape(run.open_input(path, from_format), pci) for path in traces]
    card, stream = learn_card(tapes, _namer(names, tapes))
    for line in _summary(card):
        run.say(line)
    judged = []
    if held_out:
        judge = Judge(stream, card.registers)
        for path in held_out:
            tape = load_tape(run.open_input(path, from_format), card.pci.ids if pci is None else pci)
            if tape.pci.ids != card.pci.ids:
                raise UsageError(f"{path}: is of {tape.pci.ids}, not of the card {card.pci.ids} that was learned")
            driver = join([tape], judge.vocabulary)
            judged.append((path, judge.score(steps(driver)), judge.score(perturbed(driver, rate, seed))))
    if output is not None or not (held_out or as_json):
        with open_bytes(output, traces + held_out, binary=False) as out:
            out.write(card_text(card).encode())
    if as_json:
        click.echo(json_text(_json(card, judged, rate, seed)))
    elif judged:
        click.echo("\n".join(_table(judged, rate)))
    return run.status


def _namer(names: Names | None, tapes: list[Tape]) -> Callable[[Place], str | None]:
    """What registers are called in the maps of --regs."""
    if names is None:
        return lambda place: None
    regions = {region.identity[2]: region for region in _regions(tapes[0].accesses, tapes[0].pci.ids)}

    def name(place: Place) -> str | None:
        found = names.find(regions.get(place.bar), place.offset)
        return None if found is None or found.distance else found.name

    return name


def _regions(accesses: Accesses, ids: str) -> list[Any]:
    return [region for region in accesses.regions if region.device is not None and region.device.ids == ids]


def _summary(card: Card) -> list[str]:
    """Registers of each kind, with their reads, and how sure the models are."""
    recordings = f"{card.recordings} recording{'s' * (card.recordings != 1)}"
    lines = [f"{card.pci.ids}: {len(card.registers)} registers from {card.accesses} accesses in {recordings}"]
    for kind in KINDS:
        found = [learned for learned in card.registers if learned.model.kind == kind and learned.reads]
        if found:
            reads = sum(learned.reads for learned in found)
            wrong = sum(learned.contradict for learned in found)
            sure = sum(learned.confidence * learned.reads for learned in found) / reads
            lines.append(
                f"{kind:<19} {len(found):>5} registers, {reads:>8} reads, {wrong:>6} against it, confidence {sure:.2f}"
            )
    unread = sum(not learned.reads for learned in card.registers) + card.left_out
    if unread:
        lines.append(f"{'never read':<19} {unread:>5} registers, taken for storage")
    return lines


_TITLES = {
    "plain-ram": "plain RAM",
    "last-value": "last value",
    "queue": "queue for each register",
    "sequence": "strict sequence",
    SEQUENCE_LAST: "sequence, else last value",
    MODELS: "models alone",
    MODEL: "models and path",
}


def _table(judged: list[tuple[str, Score, Score]], rate: float) -> list[str]:
    lines = []
    for path, plain, shaken in judged:
        lines += [path, f"  {'':<26} {'as recorded':>12} {f'{100 * rate:g} % changed':>15}"]
        lines.append(f"  {'reads':<26} {plain.reads:>12} {shaken.reads:>15}")
        for name in (*NAIVE, SEQUENCE_LAST, MODELS, MODEL):
            lines.append(
                f"  {_TITLES[name]:<26} {100 * plain.share(name):>10.2f} % {100 * shaken.share(name):>13.2f} %"
            )
        gains = [100 * (score.share(MODEL) - score.share(score.best_naive)) for score in (plain, shaken)]
        lines.append(f"  {'better than the best of 4':<26} {gains[0]:>+12.2f} {gains[1]:>+15.2f}")
        errors = plain.calibration_error, shaken.calibration_error
        lines.append(f"  {'calibration error':<26} {errors[0]:>12.4f} {errors[1]:>15.4f}")
    if len(judged) > 1:
        whole = (Score(), Score())
        for _, plain, shaken in judged:
            whole[0].add(plain)
            whole[1].add(shaken)
        errors = whole[0].calibration_error, whole[1].calibration_error
        lines += ["all", f"  {'calibration error':<26} {errors[0]:>12.4f} {errors[1]:>15.4f}"]
    return lines


def _json(card: Card, judged: list[tuple[str, Score, Score]], rate: float, seed: int) -> dict[str, Any]:
    kinds = Counter(learned.model.kind for learned in card.registers if learned.reads)
    return {
        "schema": SCHEMA,
        "card": card.pci.ids,
        "recordings": card.recordings,
        "accesses": card.accesses,
        "registers": len(card.registers),
        "never_read": sum(not learned.reads for learned in card.registers) + card.left_out,
        "kinds": dict(kinds),
        "list": [
            {
                "name": learned.name,
                "register": str(learned.place),
                "kind": learned.model.kind,
                "reads": learned.reads,
                "writes": learned.writes,
                "support": learned.support,
                "contradict": learned.contradict,
                "confidence": round(learned.confidence, 4),
            }
            for learned in card.registers
        ],
        "scores": [
            {
                "file": path,
                "as_recorded": plain.as_json(),
                "changed": {"rate": rate, "seed": seed, **shaken.as_json()},
            }
            for path, plain, shaken in judged
        ],
    }
