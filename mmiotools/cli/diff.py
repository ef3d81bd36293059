"""`mmiotools diff`"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from itertools import islice

import click

from mmiotools.cli.common import Run, color_option, from_option, quiet_option, want_color
from mmiotools.diff.hunks import compare, differ
from mmiotools.diff.views import DEFAULT, VIEWS, Options
from mmiotools.errors import EXIT_DIFFERENT, UsageError
from mmiotools.trace.matching import Accesses, collect


def complete_views(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of views."""
    return [name for name in VIEWS.names() if name.startswith(incomplete)]


#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "What a newer kernel does differently to the same card:",
        "mmiotools diff samples/mmiotrace/nvme-linux6.1.mmiotrace samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
    (
        "Which registers that concerns:",
        "mmiotools diff --view summary samples/mmiotrace/nvme-linux6.1.mmiotrace "
        "samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
]


@click.command()
@click.argument("a", type=click.Path(), metavar="A")
@click.argument("b", type=click.Path(), metavar="B")
@click.option(
    "--view", metavar="NAME", default=DEFAULT, show_default=True, shell_complete=complete_views, help="How to show it."
)
@click.option("--brief", is_flag=True, help="Only say whether the two differ.")
@click.option(
    "-U",
    "--context",
    type=click.IntRange(min=0),
    metavar="N",
    default=3,
    show_default=True,
    help="Accesses to show around a hunk.",
)
@click.option("--width", type=click.IntRange(min=20), metavar="N", help="Columns of the side-by-side view.")
@color_option
@from_option
@quiet_option
def command(
    a: str,
    b: str,
    view: str,
    brief: bool,
    context: int,
    width: int | None,
    color: str,
    from_format: str | None,
    quiet: bool,
) -> int:
    """Show what differs between two traces.

    A and B are files; one of them may be "-" for standard input. Two accesses are the same when operation, width,
    register (device, BAR and offset) and value agree; times, map ids and absolute addresses do not count. A hunk is
    an insertion, a deletion, a change of values, or a move. The exit status is 0 when the two are the same and 1
    when they differ.
    """
    run = Run(quiet)
    if a == "-" and b == "-":
        raise UsageError("A and B cannot both be standard input")
    shown = VIEWS.get(view)()
    sides: list[Accesses] = []
    names: list[str] = []
    for path in (a, b):
        trace = run.open_input(path, from_format)
        sides.append(collect(trace.batches))
        names.append(trace.name)
    if brief:
        if differ(sides[0], sides[1]):
            _print([f"{names[0]} and {names[1]} differ"])
            run.set_status(EXIT_DIFFERENT)
        return run.status
    comparison = compare(sides[0], sides[1], names[0], names[1])
    if comparison.coarse:
        run.say(
            f"{comparison.coarse} accesses lie in stretches too large and too unlike for the shortest answer; "
            "their hunks are right, but fewer might do"
        )
    columns = width or shutil.get_terminal_size().columns
    _print(shown.render(comparison, Options(context, columns, want_color(color))))
    if len(comparison.hunks):
        run.set_status(EXIT_DIFFERENT)
    return run.status


def _print(lines: Iterable[str]) -> None:
    rest = iter(lines)
    while part := list(islice(rest, 4096)):
        sys.stdout.buffer.write("".join(f"{line}\n" for line in part).encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
