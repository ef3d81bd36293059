"""What `mmiotools diff` is asked, and how it begins: large files are read, in processes that need no numpy, while it is
imported here.
"""

from __future__ import annotations

from mmiotools.cli.ahead import Ahead, worth_reading_ahead
from mmiotools.speed import compiled
from mmiotools.typed import Callable, NamedTuple


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
    if not _worth_it(request):
        return _compare(request, ())
    a, b = request.traces
    with _reading(a, request.from_format) as one, _reading(b, request.from_format) as other:
        return _compare(request, (one, other))


def _compare(request: Request, early: tuple[Ahead, ...]) -> int:
    from mmiotools.cli.diff_work import compare

    return compare(request, early)


def _worth_it(request: Request) -> bool:
    """Are both inputs to be read at once? Where nothing but their accesses is looked at."""
    if compiled() is None or request.at is not None or request.as_trace is not None:
        return False
    plain = len(request.traces) == 2 and not (request.repeat_a or request.repeat_b or request.groups)
    return plain and all(map(worth_reading_ahead, request.traces))


def _reading(path: str, format_name: str | None) -> Ahead:
    def read(columns: int, told: Callable[[int], None]) -> bytes:
        # Imported there, as long as there is a processor for it: numpy's import, here, is what takes longest.
        from mmiotools.quick.accesses import share_accesses

        return share_accesses(path, format_name, columns, told).packed()

    return Ahead(read)
