"""`mmiotools filter`"""

from __future__ import annotations

import click

from mmiotools.cli.filtering import Request, filter_trace
from mmiotools.cli.options import from_option, output_option, quiet_option, regs_option, strict_option, to_option
from mmiotools.filters.polls import TURNS
from mmiotools.typed import Any

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "The writes to one block of registers:",
        "mmiotools filter 'write and offset in 0x0-0x3f' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    (
        "How many reads saw bit 0 set:",
        "mmiotools filter --count 'read and value & 1 != 0' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    (
        "By the names of registers and their bits:",
        "mmiotools filter --regs auto 'CC.EN == 1 or reg == CSTS' samples/mmiotrace/nvme-linux6.1.mmiotrace",
    ),
    ("How an expression is understood:", "mmiotools filter --explain 'write and offset in 0x100+16'"),
]


@click.command()
@click.argument("expression", required=False, metavar="[EXPR]")
@click.argument("input", required=False, type=click.Path(), metavar="[INPUT]")
@click.option("-v", "--invert", is_flag=True, help="Select what EXPR does not select.")
@click.option(
    "--bare", is_flag=True, help="Only what is selected: no header, devices, maps, losses or damage around it."
)
@click.option("--from-mark", metavar="RE", help="Begin at the first MARK whose text matches.")
@click.option("--to-mark", metavar="RE", help="End at the first MARK after that whose text matches.")
@click.option(
    "--time", "times", metavar="A-B", help="Only this range of times; A- and -B are open, A+LEN has a length."
)
@click.option("--head", "first", metavar="N", type=click.IntRange(0), help="Stop after N selected events.")
@click.option("--tail", "last", metavar="N", type=click.IntRange(0), help="Only the last N selected events.")
@click.option("--fold-polls", is_flag=True, help="One line for the repeated turns of a poll loop; --unfold undoes it.")
@click.option(
    "--poll-turns", metavar="N", type=click.IntRange(2), default=TURNS, show_default=True, help="Fold from N turns on."
)
@click.option("--unfold", "unfolds", is_flag=True, help="Restore folded poll loops, before anything else is done.")
@click.option("--count", "counts", is_flag=True, help="Print the number of selected events and write no trace.")
@click.option("-e", "--exit-status", is_flag=True, help="Exit with status 1 when nothing was selected.")
@click.option("--explain", "explains", is_flag=True, help="Print how EXPR is understood; read nothing.")
@regs_option
@from_option
@to_option
@output_option
@strict_option
@quiet_option
def command(**arguments: Any) -> int:
    """Keep the events that an expression selects.

    EXPR is always the first argument; '' or all selects everything, and it may be missing when an option says
    what to do. INPUT is a file, or standard input when it is missing or "-". The output has the input's format
    unless -t or its suffix says otherwise. See mmiotools-filter(7) for the language.

    HEADER, DEVICE, MAP, UNMAP, LOST and damage always pass, and a cut first gives the maps that are alive there, so
    that the output is a valid trace; --bare drops them. Of a native file, blocks that hold nothing of what is selected
    are not read: `check` finds damage there. The order of work: --unfold, marks and time, EXPR, --head,
    --tail, --fold-polls. --head and --tail count selected events, of these HEADER, DEVICE and so on only with --bare.
    """
    return filter_trace(Request(**arguments))
