"""Commands that make one trace of several: their inputs, the header of what comes out, and its format."""

from __future__ import annotations

from mmiotools.cli.common import Run, choose_format, default_format
from mmiotools.errors import UsageError
from mmiotools.formats import FORMATS
from mmiotools.streams.unify import common_header
from mmiotools.trace.header import Trace, TraceHeader
from mmiotools.typed import Sequence


def named_inputs(inputs: tuple[str, ...]) -> tuple[str, ...]:
    """The inputs; standard input when none is named. Raises UsageError when it is named twice."""
    if inputs.count("-") > 1:
        raise UsageError("standard input can be named once only")
    return inputs or ("-",)


def output_format(to_format: str | None, output: str | None, containers: Sequence[str]) -> str:
    """The format of the output: told, or by its suffix, or that of all the inputs, or as convert does."""
    same = set(containers)
    default = default_format(output)
    if len(same) == 1:
        (only,) = same
        default = only if only in FORMATS and FORMATS.get(only).writable else default
    return choose_format(to_format, output, default)


def joined_header(run: Run, traces: Sequence[Trace]) -> TraceHeader:
    """The header of a trace that is made of several."""
    return common_header([(trace.name, trace.header) for trace in traces], run.say)
