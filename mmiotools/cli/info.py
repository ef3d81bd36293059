"""`mmiotools info`"""

from __future__ import annotations

import click

from mmiotools.cli.info_screen import summarise
from mmiotools.cli.options import from_option, quiet_option, regs_option

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("What a recording holds:", "mmiotools info samples/mmiotrace/nvme-linux6.1.mmiotrace"),
    ("Which registers have no name:", "mmiotools info --regs auto samples/mmiotrace/nv-init-1.mmiotrace"),
    ("For a program, one JSON object a file:", "mmiotools info --json samples/mmiotrace/nvme-linux6.1.mmiotrace"),
]


@click.command()
@click.argument("traces", nargs=-1, type=click.Path(), metavar="TRACE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@regs_option
@from_option
@quiet_option
def command(traces: tuple[str, ...], as_json: bool, regs: tuple[str, ...], from_format: str | None, quiet: bool) -> int:
    """One screen about each trace: format, clock, devices, maps, counts, losses, hottest registers.

    With --regs, registers have their names, and those that have none are told. Without TRACE, or for "-", standard
    input is read. A file that cannot be read does not stop the others.
    """
    return summarise(traces, as_json=as_json, regs=regs, from_format=from_format, quiet=quiet)
