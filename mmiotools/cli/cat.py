"""`mmiotools cat`"""

from __future__ import annotations

import os
import stat

import click

from mmiotools.cli.common import Run, open_output
from mmiotools.cli.options import from_option, output_option, quiet_option, strict_option, to_option
from mmiotools.cli.several import joined_header, named_inputs, output_format
from mmiotools.formats import open_trace
from mmiotools.streams.unify import Unifier, with_last_line_ended
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Trace
from mmiotools.typed import Iterator

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "Two recordings, one of them in another format, as one:",
        "mmiotools cat samples/mmiotrace/nv-test-1.mmiotrace samples/native/nv-test-2.mmio -o both.mmio",
    ),
    (
        "The parts of a split trace are that trace again, with the headers and maps that each part begins with:",
        "mmiotools split -q --events 100 samples/mmiotrace/nvme-linux6.1.mmiotrace -o part-%03d.mmio && "
        "mmiotools cat part-*.mmio | mmiotools info -",
    ),
]


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(), metavar="[TRACE]...")
@from_option
@to_option
@output_option
@strict_option
@quiet_option
def command(
    inputs: tuple[str, ...],
    from_format: str | None,
    to_format: str | None,
    output: str | None,
    strict: bool,
    quiet: bool,
) -> int:
    """Join traces, one after the other.

    Headers, devices and maps stay where they are, and times as they are: mmiotools-merge(1) sorts by time. TRACE is a
    file, or standard input when there is none or it is "-". The formats of the inputs may differ; the output has the
    format of all of them, else it is native on a pipe and in a file of unknown suffix, and mmiotrace text on a
    terminal.
    """
    run = Run(quiet)
    paths = named_inputs(inputs)
    # A look at each input first: one that is no trace is told before anything is written, and the header is that of
    # all. What can be opened once only stays open.
    looks = [_look(run, path, from_format) for path in paths]
    traces = [trace for trace, _ in looks]
    header = joined_header(run, traces)
    target = output_format(to_format, output, [trace.container for trace in traces])
    with open_output(run, output, target, header, paths, strict) as sink:
        unifier = Unifier()
        for path, (trace, again) in zip(paths, looks, strict=True):
            batches = run.open_input(path, from_format).batches if again else trace.batches
            for batch in batches if path is paths[-1] else with_last_line_ended(batches):
                sink.write(unifier.adopt(batch))
    return run.status


def _look(run: Run, path: str, from_format: str | None) -> tuple[Trace, bool]:
    """An input as far as its first batch, and whether it is to be opened again."""
    again = path != "-" and os.path.exists(path) and stat.S_ISREG(os.stat(path).st_mode)
    trace = open_trace(path, from_format) if again else run.open_input(path, from_format)
    first = next(trace.batches, None)
    if again:
        close = getattr(trace.batches, "close", None)
        if close is not None:
            close()
    elif first is not None:
        trace.batches = _before(first, trace.batches)
    return trace, again


def _before(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest
