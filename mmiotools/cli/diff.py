"""`mmiotools diff`"""

from __future__ import annotations

from typing import Any

import click

from mmiotools.cli.common import Run, load_regs
from mmiotools.cli.diff_noise import Told, learn_all, noise_options
from mmiotools.cli.diff_views import Wanted, read_sides, say_brief, show, show_counts, show_groups, view_options
from mmiotools.cli.options import color_option, from_option, quiet_option, regs_option
from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.groups import Group, compare_groups
from mmiotools.diff.hunks import DRIVER, differ
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
def command(traces: tuple[str, ...], regs: tuple[str, ...], from_format: str | None, quiet: bool, **chosen: Any) -> int:
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
    run = Run(quiet)
    told = Told(**{name: chosen.pop(name) for name in Told.__dataclass_fields__})
    wanted = Wanted(**chosen)
    rules, paths, names = told.rules(), told.paths(traces), load_regs(run, regs)
    inputs = tuple(path for files in paths.values() for path in files)
    if inputs.count("-") > 1:
        raise UsageError("only one trace can be standard input")
    if len(paths) > 2:
        wanted.check_many()
    sides = read_sides(run, paths.values(), from_format, wanted)
    left, right = sides[0][0], sides[1][0]
    if len(sides) == 2 and wanted.counts:
        show_counts(run, left, right, wanted, names)
        return run.status
    if len(sides) == 2 and wanted.brief and not differ(left.accesses, right.accesses):
        return run.status
    groups = [
        Group(name if told.groups or len(sides) > 2 else files[0].trace.name, [side.accesses for side in files])
        for name, files in zip(paths, sides, strict=True)
    ]
    noise = learn_all(run, told, groups, inputs, names)
    if len(sides) > 2:
        show_groups(run, compare_groups(groups, noise, rules), wanted, names)
        return run.status
    comparison = compare_noisy(groups[0].recordings, groups[1].recordings, noise, rules, groups[0].name, groups[1].name)
    if comparison.coarse:
        run.say(
            f"{comparison.coarse} accesses lie in stretches too large and too unlike for the shortest answer; "
            "their hunks are right, but fewer might do"
        )
    if wanted.brief:
        if comparison.hunks.counts()[DRIVER]:
            say_brief(run, left, right)
        return run.status
    show(run, comparison, left, right, wanted, inputs, names)
    return run.status
