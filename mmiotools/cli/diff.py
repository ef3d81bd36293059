"""`mmiotools diff`"""

from __future__ import annotations

from typing import Any

import click

from mmiotools.cli.common import Run, color_option, from_option, quiet_option
from mmiotools.cli.diff_views import Wanted, read_side, say_brief, show, show_counts, view_options
from mmiotools.diff.hunks import compare, differ
from mmiotools.errors import UsageError

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "What a newer kernel does differently to the same card:",
        "mmiotools diff samples/mmiotrace/nvme-linux6.1.mmiotrace samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
    (
        "Which registers that concerns:",
        "mmiotools diff --stat samples/mmiotrace/nvme-linux6.1.mmiotrace samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
    (
        "A page for a colleague, to be opened in a browser:",
        "mmiotools diff --html nvme.html samples/mmiotrace/nvme-linux6.1.mmiotrace "
        "samples/mmiotrace/nvme-linux6.12.mmiotrace",
    ),
    (
        "What only the newer driver writes, as a trace of its own:",
        "mmiotools diff --only-writes --as-trace b -t mmiotrace samples/mmiotrace/nv-init-1.mmiotrace "
        "samples/mmiotrace/nv-init-2.mmiotrace",
    ),
]


@click.command()
@click.argument("a", type=click.Path(), metavar="A")
@click.argument("b", type=click.Path(), metavar="B")
@view_options
@color_option
@from_option
@quiet_option
def command(a: str, b: str, from_format: str | None, quiet: bool, **shown: Any) -> int:
    """Show what differs between two traces.

    A and B are files; one of them may be "-" for standard input. Two accesses are the same when operation, width,
    register (device, BAR and offset) and value agree; times, map ids and absolute addresses do not count. A hunk is
    an insertion, a deletion, a change of values, or a move. The exit status is 0 when the two are the same and 1
    when they differ.

    With --counts order does not count, and there are no hunks: a line an access, with how many more of it B has (+3)
    or has not (-3). With --as-trace headers, devices, maps, losses and damage stay, and the output goes where
    -o says, in the format that -t or its suffix says.
    """
    run = Run(quiet)
    if a == "-" and b == "-":
        raise UsageError("A and B cannot both be standard input")
    wanted = Wanted(**shown)
    left, right = (read_side(run, path, from_format, wanted, side) for path, side in ((a, "a"), (b, "b")))
    if wanted.counts:
        show_counts(run, left, right, wanted)
        return run.status
    if wanted.brief:
        if differ(left.accesses, right.accesses):
            say_brief(run, left, right)
        return run.status
    comparison = compare(left.accesses, right.accesses, left.trace.name, right.trace.name)
    if comparison.coarse:
        run.say(
            f"{comparison.coarse} accesses lie in stretches too large and too unlike for the shortest answer; "
            "their hunks are right, but fewer might do"
        )
    show(run, comparison, left, right, wanted, (a, b))
    return run.status
