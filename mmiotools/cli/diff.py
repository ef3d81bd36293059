"""`mmiotools diff`"""

from __future__ import annotations

import click

from mmiotools.cli.diff_options import noise_options, view_options
from mmiotools.cli.differing import Request, compare_traces
from mmiotools.cli.options import color_option, from_option, quiet_option, regs_option
from mmiotools.typed import Any

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
        "What the driver changed, and nothing that differs from run to run anyway:",
        "mmiotools diff --repeat-a samples/versions/e1000/base-2.mmio --regs e1000 "
        "samples/versions/e1000/base-1.mmio samples/versions/e1000/value-1.mmio",
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
@click.argument("traces", nargs=-1, type=click.Path(), metavar="A B")
@noise_options
@regs_option
@view_options
@color_option
@from_option
@quiet_option
def command(**arguments: Any) -> int:
    """Show what differs between two traces.

    A and B are files; one of them may be "-" for standard input. Two accesses are the same when operation, width,
    register (device, BAR and offset) and value agree; times, map ids and absolute addresses do not count. A hunk is
    an insertion, a deletion, a change of values, or a move, and it is of one of two classes: driver, or volatile for
    what would differ without a change of the driver. The exit status is 1 when there is a hunk of class driver, else 0.

    What is volatile is learned from repeats: other recordings of the version in A or in B. Values, blocks of accesses
    and orders that differ between those are noise. Some is told without repeats, by rules; `mmiotools list rules` has
    them. Masks say the rest. When unsure, it is driver.

    With more than two traces, or names in --group, each version is compared with each: what all have in common, and
    which is the odd one out.

    With --counts order does not count, and there are no hunks: a line an access, with how many more of it B has (+3)
    or has not (-3). With --as-trace headers, devices, maps, losses and damage stay, and the output goes where
    -o says, in the format that -t or its suffix says.
    """
    return compare_traces(Request(**arguments))
