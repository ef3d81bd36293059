"""`mmiotools check`"""

from __future__ import annotations

import click

from mmiotools.cli.common import Run, open_output
from mmiotools.cli.info_screen import seconds
from mmiotools.cli.options import from_option, quiet_option
from mmiotools.errors import EXIT_DIFFERENT, EXIT_OK, MmioToolsError, UsageError, combine
from mmiotools.formats import format_for_path
from mmiotools.formats.native_block import Harmless
from mmiotools.stats.check import SCHEMA, Check, Finding
from mmiotools.trace.header import Trace
from mmiotools.trace.in_c import json_text
from mmiotools.typed import Any

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("Is anything missing from a recording?", "mmiotools check samples/mmiotrace/nvme-linux6.1.mmiotrace"),
    ("The verdict for a program:", "mmiotools check --json samples/mmiotrace/nvme-linux6.1.mmiotrace"),
    (
        "A good file of what is left of a damaged one, and what is missing there:",
        "mmiotools check --repair good.mmio samples/broken/native-flipped.mmio; "
        "mmiotools show good.mmio | grep DAMAGED",
    ),
]


@click.command()
@click.argument("traces", nargs=-1, type=click.Path(), metavar="TRACE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@click.option(
    "--repair",
    "repaired",
    metavar="OUT",
    type=click.Path(),
    help="Write what is left of one trace to OUT, a good native file: every event that survives, in order, and a "
    "note of what is missing where something is.",
)
@from_option
@quiet_option
def command(traces: tuple[str, ...], as_json: bool, repaired: str | None, from_format: str | None, quiet: bool) -> int:
    """Say whether a trace is complete.

    Problems are damage, events lost by the recorder, accesses outside every map, and time that runs backwards: with
    any of these the exit status is 1. Remarks lose nothing: they are counted, and the exit status stays 0. Without
    TRACE, or for "-", standard input is read. A file that cannot be read does not stop the others.

    --repair reads a damaged trace of any format, as far as it can be read, and writes a native file with header,
    footer and index anew. Blocks of a native file that check out are taken over as they are; the events of a block
    with an error in it lack the field that it is in, or only what is no access is left, if the footer has it. How
    many events were saved and lost is said on standard error. OUT is there when it is complete, and not before; the
    input is never changed. With OUT "-" it goes to standard output, and the verdict to standard error.
    """
    if repaired is not None:
        _may_repair(traces, repaired, as_json)
    statuses = {EXIT_OK}
    for path in traces or ("-",):
        # Its own exit status is not asked for: damage is this command's answer, and makes it 1, not 3.
        run = Run(quiet)
        try:
            trace = run.open_input(path, from_format, blocks=repaired is not None)
            check = _checked(trace) if repaired is None else _repair(run, trace, path, repaired)
        except MmioToolsError as error:
            if len(traces) < 2:
                raise
            click.echo(f"mmiotools: {error}", err=True)
            statuses.add(error.status)
            continue
        if check.problems:
            statuses.add(EXIT_DIFFERENT)
        if as_json:
            verdict: dict[str, Any] = {
                "schema": SCHEMA,
                "file": trace.name,
                "format": trace.container,
                "events": check.events,
                "accesses": check.accesses,
                "verdict": "problems" if check.problems else "clean",
                "problems": [finding.as_json() for finding in check.problems],
                "remarks": [finding.as_json() for finding in check.remarks],
            }
            if repaired is not None:
                saved, lost, _ = _fate(check)
                verdict["repaired"] = {"file": repaired, "saved": saved, "lost": lost}
            click.echo(json_text(verdict))
        else:
            click.echo("\n".join(_report(trace.name, check)), err=repaired == "-")
    return combine(*statuses)


def _checked(trace: Trace) -> Check:
    check = Check()
    for batch in trace.batches:
        check.add(batch)
    check.finish()
    return check


# -- repair ----------------------------------------------------------------------------------------------------


def _may_repair(traces: tuple[str, ...], repaired: str, as_json: bool) -> None:
    """Raises UsageError for what cannot be meant."""
    if len(traces) > 1:
        raise UsageError("--repair takes one trace")
    if repaired == "-" and as_json:
        raise UsageError("--json and the repaired trace cannot both go to standard output: name a file")
    target = format_for_path(repaired)
    if target not in (None, "native"):
        raise UsageError(
            f"{repaired}: --repair writes native files (.mmio), which say what is missing and where; "
            f"for {target}, convert that"
        )


def _repair(run: Run, trace: Trace, path: str, repaired: str) -> Check:
    """Write what can be read of a trace, and judge it meanwhile."""
    check = Check()
    with open_output(run, repaired, "native", trace.header, (path,)) as sink:
        for batch in trace.batches:
            check.add(batch)
            if not isinstance(batch, Harmless):
                sink.write(batch)
    check.finish()
    saved, lost, places = _fate(check)
    where = f" in {places} place{'s' * (places != 1)}" if places else ""
    run.say(f"{'standard output' if repaired == '-' else repaired}: {saved} events saved, {lost} lost{where}")
    return check


def _fate(check: Check) -> tuple[int, int, int]:
    """How many events were saved and how many lost, and in how many places."""
    damage = next((finding for finding in check.problems if finding.name == "damaged"), None)
    if damage is None:
        return check.events, 0, 0
    return check.events - damage.count, damage.events or 0, damage.count


# -- the report ------------------------------------------------------------------------------------------------


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
