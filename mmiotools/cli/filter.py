"""`mmiotools filter`"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial

import click
import numpy as np

from mmiotools.cli.common import (
    Run,
    choose_format,
    from_option,
    load_regs,
    open_output,
    output_option,
    quiet_option,
    regs_option,
    strict_option,
    to_option,
)
from mmiotools.errors import EXIT_DAMAGED, EXIT_DIFFERENT, UsageError
from mmiotools.events import events_lost
from mmiotools.filters.compile import Predicate
from mmiotools.filters.explain import explain
from mmiotools.filters.expr import Not
from mmiotools.filters.grammar import parse, parse_times
from mmiotools.filters.lexer import as_bytes
from mmiotools.filters.patterns import compile_pattern
from mmiotools.filters.pollnote import BROKEN
from mmiotools.filters.polls import TURNS, fold, unfold
from mmiotools.filters.stages import Chunk, Window, cut, has_more, head, judge, keep_selected, tail
from mmiotools.filters.zones import choose
from mmiotools.formats import FORMATS
from mmiotools.trace.batch import Batch
from mmiotools.trace.zones import Last

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "The writes to one block of registers:",
        "mmiotools filter 'write and offset in 0x0-0x3f' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    (
        "How many reads saw bit 0 set:",
        "mmiotools filter --count 'read and value & 1 != 0' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    (
        "By the names of registers and their bits:",
        "mmiotools filter --regs auto 'CC.EN == 1 or reg == CSTS' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    ("How an expression is understood:", "mmiotools filter --explain 'write and offset in 0x100+16'"),
]


class _Tally:
    """Counts what was selected, as it passes."""

    def __init__(self) -> None:
        self.selected = 0

    def watch(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.selected += int(np.count_nonzero(chunk.selected))
            yield chunk


@click.command()
@click.argument("expression", required=False, metavar="[EXPR]")
@click.argument("input", required=False, type=click.Path(), metavar="[INPUT]")
@click.option("-v", "--invert", is_flag=True, help="Select what EXPR does not select.")
@click.option(
    "--bare", is_flag=True, help="Only what is selected: no header, devices, maps, losses or damage around it."
)
@click.option("--from-mark", metavar="RE", help="Begin at the first MARK whose text matches.")
@click.option("--to-mark", metavar="RE", help="End at the first MARK after that whose text matches.")
@click.option(
    "--time", "times", metavar="A-B", help="Only this range of times; A- and -B are open, A+LEN has a length."
)
@click.option("--head", "first", metavar="N", type=click.IntRange(0), help="Stop after N selected events.")
@click.option("--tail", "last", metavar="N", type=click.IntRange(0), help="Only the last N selected events.")
@click.option("--fold-polls", is_flag=True, help="One line for the repeated turns of a poll loop; --unfold undoes it.")
@click.option(
    "--poll-turns", metavar="N", type=click.IntRange(2), default=TURNS, show_default=True, help="Fold from N turns on."
)
@click.option("--unfold", "unfolds", is_flag=True, help="Restore folded poll loops, before anything else is done.")
@click.option("--count", "counts", is_flag=True, help="Print the number of selected events and write no trace.")
@click.option("-e", "--exit-status", is_flag=True, help="Exit with status 1 when nothing was selected.")
@click.option("--explain", "explains", is_flag=True, help="Print how EXPR is understood; read nothing.")
@regs_option
@from_option
@to_option
@output_option
@strict_option
@quiet_option
def command(
    expression: str | None,
    input: str | None,
    invert: bool,
    bare: bool,
    from_mark: str | None,
    to_mark: str | None,
    times: str | None,
    first: int | None,
    last: int | None,
    fold_polls: bool,
    poll_turns: int,
    unfolds: bool,
    counts: bool,
    exit_status: bool,
    explains: bool,
    regs: tuple[str, ...],
    from_format: str | None,
    to_format: str | None,
    output: str | None,
    strict: bool,
    quiet: bool,
) -> int:
    """Keep the events that an expression selects.

    EXPR is always the first argument; '' or all selects everything, and it may be missing when an option says
    what to do. INPUT is a file, or standard input when it is missing or "-". The output has the input's format
    unless -t or its suffix says otherwise. See mmiotools-filter(7) for the language.

    HEADER, DEVICE, MAP, UNMAP, LOST and damage always pass, and a cut first gives the maps that are alive there, so
    that the output is a valid trace; --bare drops them. The order of work: --unfold, marks and time, EXPR, --head,
    --tail, --fold-polls. --head and --tail count selected events, of these HEADER, DEVICE and so on only with --bare.
    """
    stages = (from_mark, to_mark, times, first, last)
    if expression is None and not (any(stage is not None for stage in stages) or fold_polls or unfolds):
        raise UsageError("no expression: say what to keep, as in mmiotools filter 'write and offset < 0x100' FILE")
    run = Run(quiet)
    names = load_regs(run, regs)
    tree = parse(expression or "", names)
    window = Window(_pattern("--from-mark", from_mark), _pattern("--to-mark", to_mark))
    if times is not None:
        window.first, window.last = parse_times(times)
    if explains:
        sys.stdout.write(explain(tree))
        return 0

    def select(batches: Iterable[Batch]) -> Iterator[Chunk]:
        chunks = judge(batches, Predicate(tree, names), invert)
        return keep_selected(chunks if window.is_open else cut(chunks, window, bare), bare)

    end = None
    if last is not None and first is None:
        end = Last(last + 1, lambda batches: has_more(select(batches), last, bare))
    choice = None if unfolds else choose(Not(tree) if invert else tree, window, bare, end)
    trace = run.open_input(input, from_format, choice=choice)
    predicate = Predicate(tree, names)
    if window.is_open and first is None and last is None and not fold_polls and not unfolds and predicate.is_local:
        each = partial(_select, predicate, invert, bare)
        if counts:
            selected = sum(item.result for item in trace.map(lambda batch: each(batch)[1]))
            click.echo(selected)
        else:
            target = choose_format(to_format, output, _same_format(trace.container))
            with open_output(run, output, target, trace.header, (input,), strict, names) as sink:
                selected = sink.copy(trace, each)
        if exit_status and not selected:
            run.set_status(EXIT_DIFFERENT)
        return run.status
    batches = trace.batches
    if unfolds:
        batches = _told(run, unfold(batches))
    chunks = select(batches)
    if first is not None:
        chunks = head(chunks, first, bare)
    if last is not None:
        chunks = tail(chunks, last, bare)
    tally = _Tally()
    batches = (chunk.batch for chunk in tally.watch(chunks))
    if counts:
        for _ in batches:
            pass
        click.echo(tally.selected)
    else:
        if fold_polls:
            batches = fold(batches, poll_turns)
        target = choose_format(to_format, output, _same_format(trace.container))
        with open_output(run, output, target, trace.header, (input,), strict, names) as sink:
            for batch in batches:
                sink.write(batch)
    if exit_status and not tally.selected:
        run.set_status(EXIT_DIFFERENT)
    return run.status


def _select(predicate: Predicate, invert: bool, bare: bool, batch: Batch) -> tuple[Batch, int]:
    """What is kept of a batch, and how many events were selected."""
    selected = predicate.mask(batch)
    chunk = Chunk(batch, ~selected if invert else selected)
    return chunk.kept(bare).batch, int(np.count_nonzero(chunk.selected))


def _pattern(option: str, source: str | None) -> re.Pattern[bytes] | None:
    if source is None:
        return None
    try:
        return compile_pattern(as_bytes(source))
    except ValueError as error:
        raise UsageError(f"{option} '{source}': bad regular expression: {error}") from error


def _told(run: Run, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Folded loops that can no longer be restored are damage."""
    lost = 0
    for batch in batches:
        lost += sum(events_lost(extra) for _, extra in batch.damage() if extra.get("reason") == BROKEN)
        yield batch
    if lost:
        run.set_status(EXIT_DAMAGED)
        run.say(f"folded poll loops are damaged, events lost: {lost}")


def _same_format(container: str) -> str:
    """The input's own format where it can be written."""
    return container if container in FORMATS and FORMATS.get(container).writable else "native"
