"""`mmiotools merge`"""

from __future__ import annotations

import sys

import click

from mmiotools.cli.common import Run, open_output
from mmiotools.cli.options import from_option, output_option, quiet_option, strict_option, to_option
from mmiotools.cli.progress import with_progress
from mmiotools.cli.several import joined_header, named_inputs, output_format
from mmiotools.errors import UsageError
from mmiotools.filters.grammar import parse_duration
from mmiotools.streams.merge import Input, merge
from mmiotools.trace.header import Trace

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "Two recordings as if made at once, the second beginning a millisecond later than its times say:",
        "mmiotools merge samples/mmiotrace/nv-init-1.mmiotrace samples/mmiotrace/nv-init-2.mmiotrace "
        "--offset samples/mmiotrace/nv-init-2.mmiotrace=1ms -o both.mmio",
    ),
    (
        "The writes of one recording among all of another:",
        "mmiotools filter write samples/mmiotrace/nv-test-1.mmiotrace | "
        "mmiotools merge - samples/mmiotrace/nv-test-2.mmiotrace",
    ),
]


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(), metavar="TRACE...")
@click.option(
    "--offset",
    "offsets",
    multiple=True,
    metavar="TRACE=SECONDS",
    help="Add this to the times of one input: 1.5, -3ms, 20us or 7ns. Repeatable.",
)
@from_option
@to_option
@output_option
@strict_option
@quiet_option
def command(
    inputs: tuple[str, ...],
    offsets: tuple[str, ...],
    from_format: str | None,
    to_format: str | None,
    output: str | None,
    strict: bool,
    quiet: bool,
) -> int:
    """Join traces by time.

    The inputs are read side by side, a batch of each at a time. An event without a time stays with the event before it.
    Where time runs backwards in an input the order of its events is kept, and standard error says so. Of events at one
    time those of the earlier input come first. A map's id that another input had before is changed. Times of different
    clocks are taken as they are: --offset brings them together. TRACE is a file, or "-" for standard input. The output
    has the format of all inputs, else it is native on a pipe and in a file of unknown suffix, and mmiotrace text on a
    terminal.
    """
    run = Run(quiet)
    paths = named_inputs(inputs)
    if len(paths) != len(set(paths)):
        raise UsageError("an input is named twice")
    shifts = dict(_offset(text, paths) for text in offsets)
    traces = [run.open_input(path, from_format, progress=False) for path in paths]
    sources = [Input(trace.name, trace.batches, shifts.get(path, 0)) for path, trace in zip(paths, traces, strict=True)]
    batches = merge(sources, run.say)
    # What a trace says about itself may stand in its first lines, which are read with the first batch.
    first = next(batches, None)
    header = joined_header(run, traces)
    target = output_format(to_format, output, [trace.container for trace in traces])
    if not quiet and sys.stderr.isatty():
        sizes = [trace.size for trace in traces]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        about = Trace(header, batches, "merge", total, lambda: sum(trace.progress() for trace in traces))
        batches = with_progress(batches, about, len)
    with open_output(run, output, target, header, paths, strict) as sink:
        if first is not None:
            sink.write(first)
        for batch in batches:
            sink.write(batch)
    return run.status


def _offset(text: str, paths: tuple[str, ...]) -> tuple[str, int]:
    """The input and the nanoseconds of --offset. Raises UsageError and ExpressionError."""
    path, equals, seconds = text.rpartition("=")
    if not equals:
        raise UsageError(f"--offset '{text}': write TRACE=SECONDS")
    if path not in paths:
        raise UsageError(f"--offset '{text}': no input is called '{path}'; there are: {', '.join(paths)}")
    sign = -1 if seconds.startswith("-") else 1
    return path, sign * parse_duration(seconds.lstrip("+-"))
