"""`mmiotools convert`"""

from __future__ import annotations

import contextlib
import os
import sys

import click

from mmiotools.cli.common import Run, choose_format, default_format, load_regs, open_output
from mmiotools.cli.many_files import Job, are_many, plan
from mmiotools.cli.options import from_option, output_option, quiet_option, regs_option, strict_option, to_option
from mmiotools.cli.progress import files_progress
from mmiotools.errors import EXIT_DAMAGED, UsageError
from mmiotools.formats import FORMATS
from mmiotools.typed import Any, Iterator

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("Native, a fifth of the size:", "mmiotools convert samples/mmiotrace/nvme-linux6.1.mmiotrace -o nvme.mmio"),
    ("A C program that does the same accesses:", "mmiotools convert samples/mmiotrace/nv-init-1.mmiotrace -o nv.c"),
    ("One JSON object an event:", "mmiotools convert -t jsonl samples/mmiotrace/nvme-linux6.1.mmiotrace | head -n 3"),
    ("A folder of recordings, into another:", "mmiotools convert samples/versions -t mmiotrace -o versions"),
]


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(), metavar="[INPUT]...")
@from_option
@to_option
@output_option
@regs_option
@strict_option
@quiet_option
def command(
    inputs: tuple[str, ...],
    from_format: str | None,
    to_format: str | None,
    output: str | None,
    regs: tuple[str, ...],
    strict: bool,
    quiet: bool,
) -> int:
    """Turn traces into another format.

    INPUT is a file, or standard input when it is missing or "-". Format and compression of the input are
    recognised by content. The output is native on a pipe and in a file of unknown suffix, mmiotrace text on a
    terminal. What the output format cannot hold is named on standard error.

    Several files, folders (with the folders in them) and patterns such as 'logs/*.txt' are converted side by side, in
    as many processes as there are processors: into the folder that -o names, else each beside its input, with the
    suffix of the format; native unless -t says otherwise. One that cannot be read stops no other; the exit status is
    the strongest of all. A file in a folder that is no trace is passed over, and told; it is an error if it was named,
    or if its suffix says that it is a trace.

    The formats c, python, qtest and devmem are programs that do the recorded accesses again: they perform the writes,
    check the reads, and wait where the recording polls. The format vcd is for GTKWave, perfetto for ui.perfetto.dev.
    Registers are named in all of these by --regs, and by the bundled maps when it is not given.
    """
    run = Run(quiet)
    names = load_regs(run, regs)
    many = are_many(inputs, output)

    def convert(run: Run, path: str | None, output: str | None, target: str) -> None:
        trace = run.open_input(path, from_format, progress=not many)
        watched = getattr(run, "watched", None)
        if watched is not None:
            watched(trace)
        if many:
            os.makedirs(os.path.dirname(output or "") or ".", exist_ok=True)
        with open_output(run, output, target, trace.header, (path,), strict, names) as sink:
            sink.copy(trace)

    target = choose_format(to_format, None if many else output, "native" if many else default_format(output))
    if regs and not getattr(FORMATS.get(target), "names_registers", False):
        raise UsageError(f"format '{target}' has no names of registers; --regs is for programs, as -t c, and for vcd")
    if not many:
        convert(run, inputs[0] if inputs else None, output, target)
        return run.status

    def one(run: Run, job: Job) -> None:
        convert(run, job.input, job.output, target)

    jobs = plan(inputs, output, target)
    if _convert_all(run, jobs, one) == len(jobs):
        raise UsageError(f"{', '.join(inputs)}: there is no trace in it")
    return run.status


def _convert_all(run: Run, jobs: list[Job], one: Any) -> int:
    """Do all jobs; how many of them were passed over."""
    from mmiotools.cli.many_work import do_all

    failed = damaged = passed = 0
    with _display(run, jobs) as progress:

        def tell(job: Job, what: str, value: Any) -> None:
            nonlocal failed, damaged, passed
            if what == "say":
                click.echo(f"mmiotools: {value}", err=True)
            elif what == "bytes":
                progress(job.input, value, False)
            elif what == "passed over":
                passed += 1
            else:
                progress(job.input, 0, True)
                run.set_status(value)
                failed += value not in (0, EXIT_DAMAGED)
                damaged += value == EXIT_DAMAGED

        do_all(jobs, one, run.quiet, tell)
    found = [f"{failed} could not be converted"] * bool(failed) + [f"{damaged} damaged"] * bool(damaged)
    found += [f"{passed} passed over"] * bool(passed)
    run.say(f"{len(jobs)} file{'s' * (len(jobs) != 1)}" + "".join(f", {words}" for words in found))
    return passed


@contextlib.contextmanager
def _display(run: Run, jobs: list[Job]) -> Iterator[Any]:
    if run.quiet or not sys.stderr.isatty():
        yield lambda name, done, ended: None
        return
    with files_progress([job.input for job in jobs]) as progress:
        yield progress
