"""`mmiotools convert`"""

from __future__ import annotations

import click

from mmiotools.cli.common import (
    Run,
    choose_format,
    default_format,
    from_option,
    load_regs,
    open_output,
    output_option,
    quiet_option,
    regs_option,
    strict_option,
    to_option,
)
from mmiotools.errors import UsageError
from mmiotools.formats import FORMATS

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("Native, a fifth of the size:", "mmiotools convert samples/mmiotrace/nvme-linux6.1.mmiotrace -o nvme.mmio"),
    ("A C program that does the same accesses:", "mmiotools convert samples/mmiotrace/nv-init-1.mmiotrace -o nv.c"),
    ("One JSON object an event:", "mmiotools convert -t jsonl samples/mmiotrace/nvme-linux6.1.mmiotrace | head -n 3"),
]


@click.command()
@click.argument("input", required=False, type=click.Path(), metavar="[INPUT]")
@from_option
@to_option
@output_option
@regs_option
@strict_option
@quiet_option
def command(
    input: str | None,
    from_format: str | None,
    to_format: str | None,
    output: str | None,
    regs: tuple[str, ...],
    strict: bool,
    quiet: bool,
) -> int:
    """Turn a trace into another format.

    INPUT is a file, or standard input when it is missing or "-". Format and compression of the input are
    recognised by content. The output is native on a pipe and in a file of unknown suffix, mmiotrace text on a
    terminal. What the output format cannot hold is named on standard error.

    The formats c, python, qtest and devmem are programs that do the recorded accesses again: they perform the writes,
    check the reads, and wait where the recording polls. Registers are named in them by --regs, and by the bundled
    maps when it is not given.
    """
    run = Run(quiet)
    names = load_regs(run, regs)
    trace = run.open_input(input, from_format)
    target = choose_format(to_format, output, default_format(output))
    if regs and not getattr(FORMATS.get(target), "names_registers", False):
        raise UsageError(f"format '{target}' has no names of registers; --regs is for programs, as -t c")
    with open_output(run, output, target, trace.header, (input,), strict, names) as sink:
        sink.copy(trace)
    return run.status
