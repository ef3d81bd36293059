"""What `mmiotools diff` is asked, and how it begins: large files are read, without numpy, in threads while it is
imported.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from mmiotools.cli.ahead import worth_reading_ahead
from mmiotools.cli.beside import Beside
from mmiotools.errors import MmioToolsError
from mmiotools.speed import compiled
from mmiotools.trace.memory import keep_freed_memory
from mmiotools.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mmiotools.trace.shared import Description


class Request(NamedTuple):
    """The arguments of the command, as it has them."""

    traces: tuple[str, ...] = ()
    repeat_a: tuple[str, ...] = ()
    repeat_b: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    learn_mask: str | None = None
    no_rule: tuple[str, ...] = ()
    view: str | None = None
    stat: bool = False
    html: str | None = None
    as_trace: str | None = None
    counts: bool = False
    brief: bool = False
    only_writes: bool = False
    show_volatile: bool = False
    everything: bool = False
    at: str | None = None
    context: int = 3
    width: int | None = None
    to_format: str | None = None
    output: str | None = None
    strict: bool = False
    color: str = "auto"
    regs: tuple[str, ...] = ()
    from_format: str | None = None
    quiet: bool = False


def compare_traces(request: Request) -> int:
    """Do it; the exit status."""
    with ExitStack() as stack:
        keep_freed_memory()
        early = [stack.enter_context(_reading(path, request.from_format)) for path in _worth_it(request)]
        from mmiotools.cli.diff_work import compare

        return compare(request, early)


def _worth_it(request: Request) -> tuple[str, ...]:
    """The inputs to read at once: both, where nothing but their accesses is looked at."""
    if compiled() is None or request.at is not None or request.as_trace is not None:
        return ()
    plain = len(request.traces) == 2 and not (request.repeat_a or request.repeat_b or request.groups)
    if plain and all(map(worth_reading_ahead, request.traces)):
        return request.traces
    return ()


def _reading(path: str, format_name: str | None) -> Beside[Description]:
    from mmiotools.formats.native_stored import Unfit
    from mmiotools.quick.accesses import accesses_of

    try:
        return Beside(accesses_of(path, format_name))
    except (Unfit, MmioToolsError) as error:
        # Whatever it is, who reads the file in earnest says it.
        return Beside(partial(_refuse, error))


def _refuse(error: Exception, told: object) -> Description:
    raise error

