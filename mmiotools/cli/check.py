"""`mmiotools check`"""

from __future__ import annotations

import click

from mmiotools.cli.common import Run, from_option, quiet_option
from mmiotools.cli.info import seconds
from mmiotools.errors import EXIT_DIFFERENT, EXIT_OK, MmioToolsError, combine
from mmiotools.formats.jsonl_fields import dumps
from mmiotools.stats.check import SCHEMA, Check, Finding

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("Is anything missing from a recording?", "mmiotools check samples/mmiotrace/nvme-linux6.1.mmiotrace"),
    ("The verdict for a program:", "mmiotools check --json samples/mmiotrace/nvme-linux6.1.mmiotrace"),
]


@click.command()
@click.argument("traces", nargs=-1, type=click.Path(), metavar="TRACE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@from_option
@quiet_option
def command(traces: tuple[str, ...], as_json: bool, from_format: str | None, quiet: bool) -> int:
    """Say whether a trace is complete.

    Problems are damage, events lost by the recorder, accesses outside every map, and time that runs backwards: with
    any of these the exit status is 1. Remarks lose nothing: they are counted, and the exit status stays 0. Without
    TRACE, or for "-", standard input is read. A file that cannot be read does not stop the others.
    """
    statuses = {EXIT_OK}
    for path in traces or ("-",):
        # Its own exit status is not asked for: damage is this command's answer, and makes it 1, not 3.
        run = Run(quiet)
        try:
            trace = run.open_input(path, from_format)
            check = Check()
            for batch in trace.batches:
                check.add(batch)
            check.finish()
        except MmioToolsError as error:
            if len(traces) < 2:
                raise
            click.echo(f"mmiotools: {error}", err=True)
            statuses.add(error.status)
            continue
        if check.problems:
            statuses.add(EXIT_DIFFERENT)
        if as_json:
            verdict = {
                "schema": SCHEMA,
                "file": trace.name,
                "format": trace.container,
                "events": check.events,
                "accesses": check.accesses,
                "verdict": "problems" if check.problems else "clean",
                "problems": [finding.as_json() for finding in check.problems],
                "remarks": [finding.as_json() for finding in check.remarks],
            }
            click.echo(dumps(verdict))
        else:
            click.echo("\n".join(_report(trace.name, check)))
    return combine(*statuses)


def _report(name: str, check: Check) -> list[str]:
    if check.problems:
        kinds = len(check.problems)
        lines = [f"{name}: problems of {kinds} kind{'s' * (kinds != 1)} in {check.events} events"]
    else:
        lines = [f"{name}: no problem in {check.events} events"]
    lines += [f"  problem  {_line(finding)}" for finding in check.problems]
    return lines + [f"  remark   {_line(finding)}" for finding in check.remarks]


def _line(finding: Finding) -> str:
    count = str(finding.count)
    if finding.events is not None and finding.name == "damaged":
        count += f" (events lost: {finding.events})"
    elif finding.name == "lost":
        count = f"{finding.events} in {finding.count} records"
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"{finding.meaning}: {count}{detail}{_first(finding)}"


def _first(finding: Finding) -> str:
    if finding.index is None:
        return ""
    place = f"; first: event {finding.index}"
    if finding.time is not None:
        place += f" at {seconds(finding.time)} s"
    if finding.line is not None:
        place += f", line {finding.line}"
    if finding.offset is not None:
        place += f", byte {finding.offset}"
    return place
