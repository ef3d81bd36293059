"""The options of `diff`, by what they are about. What they do is in `differing` and what that imports."""

from __future__ import annotations

import click

from mmiotools.cli.options import F, output_option, strict_option, to_option
from mmiotools.diff.views import DEFAULT, VIEWS
from mmiotools.typed import Any, Callable


def complete_rules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of rules."""
    from mmiotools.diff.rules import RULES

    return [rule.name for rule in RULES if rule.name.startswith(incomplete)]


def complete_views(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of views."""
    return [name for name in VIEWS.names() if name.startswith(incomplete)]


_NOISE: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--repeat-a",
        multiple=True,
        metavar="FILE",
        type=click.Path(),
        help="Another recording of the version in A: what differs between the two is noise.",
    ),
    click.option(
        "--repeat-b", multiple=True, metavar="FILE", type=click.Path(), help="Another recording of the version in B."
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="NAME=FILE",
        help="A recording of the version NAME, instead of A and B; each name several times, two names or more.",
    ),
    click.option("--mask", multiple=True, metavar="FILE", type=click.Path(), help="Registers and bits to set aside."),
    click.option(
        "--ignore", multiple=True, metavar="PLACE", help="Registers to set aside altogether, as in BAR0+0x100-0x1ff."
    ),
    click.option(
        "--learn-mask", metavar="FILE", type=click.Path(), help="Write what was learned from the repeats, for --mask."
    ),
    click.option(
        "--no-rule", multiple=True, metavar="NAME", shell_complete=complete_rules,
        help="Do without a built-in rule about noise; all for none of them.",
    ),
)  # fmt: skip

_VIEWS: tuple[Callable[[Any], Any], ...] = (
    click.option("--view", metavar="NAME", shell_complete=complete_views, help=f"How to show it; else {DEFAULT}."),
    click.option("--stat", is_flag=True, help="The same as --view stat."),
    click.option("--html", metavar="FILE", type=click.Path(), help="Write the view html to FILE, and print nothing."),
    click.option(
        "--as-trace",
        type=click.Choice(["a", "b"]),
        help="Write the accesses of that side that differ, as a trace, with a mark before each hunk.",
    ),
    click.option("--counts", is_flag=True, help="Compare how often each access was done, in whatever order."),
    click.option("--brief", is_flag=True, help="Only say whether the two differ."),
    click.option("--only-writes", is_flag=True, help="Compare the writes alone; indexes still count every access."),
    click.option("-v", "--show-volatile", is_flag=True, help="Show what differs from run to run as well."),
    click.option("--all", "everything", is_flag=True, help="View registers: also those that do not differ."),
    click.option("--at", metavar="RE", help="View state: at the first MARK of each trace whose text matches."),
    click.option(
        "-U",
        "--context",
        type=click.IntRange(min=0),
        metavar="N",
        default=3,
        show_default=True,
        help="Accesses to show around a hunk.",
    ),
    click.option(
        "--width", type=click.IntRange(min=20), metavar="N", help="Columns of the views side-by-side and stat."
    ),
    to_option,
    output_option,
    strict_option,
)


def noise_options(function: F) -> F:
    """All options of `diff_noise.Told`."""
    for option in reversed(_NOISE):
        function = option(function)
    return function


def view_options(function: F) -> F:
    """All options of `diff_views.Wanted` but --color."""
    for option in reversed(_VIEWS):
        function = option(function)
    return function
