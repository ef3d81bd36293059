"""What `mmiotools diff` does, once its inputs are being read: here numpy comes in."""

from __future__ import annotations

from mmiotools.cli.ahead import Ahead
from mmiotools.cli.common import Run, load_regs
from mmiotools.cli.diff_noise import Told, learn_all
from mmiotools.cli.diff_sides import read_sides
from mmiotools.cli.diff_views import Wanted, say_brief, show, show_counts, show_groups
from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.groups import Group, compare_groups
from mmiotools.diff.hunks import DRIVER, differ
from mmiotools.errors import UsageError
from mmiotools.typed import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from mmiotools.cli.differing import Request


def compare(request: Request, early: Sequence[Ahead]) -> int:
    """Do it; the exit status. `early` has the first inputs, if they are being read already."""
    run = Run(request.quiet)
    told = Told(*(getattr(request, name) for name in Told._fields))
    wanted = Wanted(*(getattr(request, name) for name in Wanted._fields))
    rules, paths, names = told.rules(), told.paths(request.traces), load_regs(run, request.regs)
    inputs = tuple(path for files in paths.values() for path in files)
    if inputs.count("-") > 1:
        raise UsageError("only one trace can be standard input")
    if len(paths) > 2:
        wanted.check_many()
    sides = read_sides(run, paths.values(), request.from_format, wanted, early)
    left, right = sides[0][0], sides[1][0]
    if len(sides) == 2 and wanted.counts:
        show_counts(run, left, right, wanted, names)
        return run.status
    if len(sides) == 2 and wanted.brief and not differ(left.accesses, right.accesses):
        return run.status
    groups = [
        Group(name if told.groups or len(sides) > 2 else files[0].name, [side.accesses for side in files])
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
