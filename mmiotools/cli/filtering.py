"""What `mmiotools filter` does. Neither click nor numpy is needed for what is asked most."""

from __future__ import annotations

import os
import stat
import sys

from mmiotools.cli.common import Run, load_regs, open_bytes
from mmiotools.errors import EXIT_DIFFERENT, ExpressionError, UsageError
from mmiotools.filters import expr as tree
from mmiotools.filters.grammar import parse, parse_times
from mmiotools.filters.lexer import as_bytes
from mmiotools.filters.registers import needs_names
from mmiotools.filters.window import Window
from mmiotools.formats import format_for_path
from mmiotools.formats.native_magic import MAGIC
from mmiotools.typed import TYPE_CHECKING, BinaryIO, Iterator, NamedTuple, cast

if TYPE_CHECKING:
    import re

    from mmiotools.quick.select import Part, Selection
    from mmiotools.trace.names import Names


class Request(NamedTuple):
    """The arguments of the command, as it has them; `poll_turns` 0 is the usual number."""

    expression: str | None = None
    input: str | None = None
    invert: bool = False
    bare: bool = False
    from_mark: str | None = None
    to_mark: str | None = None
    times: str | None = None
    first: int | None = None
    last: int | None = None
    fold_polls: bool = False
    poll_turns: int = 0
    unfolds: bool = False
    counts: bool = False
    exit_status: bool = False
    explains: bool = False
    regs: tuple[str, ...] = ()
    from_format: str | None = None
    to_format: str | None = None
    output: str | None = None
    strict: bool = False
    quiet: bool = False


class Asked(NamedTuple):
    """What the arguments mean, for a run; `node` is the expression, inverted where that is asked for."""

    request: Request
    run: Run
    node: tree.Expr
    names: Names | None
    window: Window


def filter_trace(request: Request) -> int:
    """Do it; the exit status."""
    stages = (request.from_mark, request.to_mark, request.times, request.first, request.last)
    if request.expression is None and not (
        any(stage is not None for stage in stages) or request.fold_polls or request.unfolds
    ):
        raise UsageError("no expression: say what to keep, as in mmiotools filter 'write and offset < 0x100' FILE")
    run = Run(request.quiet)
    names = load_regs(run, request.regs)
    node = _expression(request, names)
    times = (None, None) if request.times is None else parse_times(request.times)
    window = Window(_pattern("--from-mark", request.from_mark), _pattern("--to-mark", request.to_mark), *times)
    if request.explains:
        from mmiotools.filters.explain import explain

        sys.stdout.write(explain(node))
        return 0
    asked = Asked(request, run, tree.Not(node) if request.invert else node, names, window)
    selected = _quickly(asked)
    if selected is None:
        from mmiotools.cli.filter_batches import select_batches

        selected = select_batches(asked)
    if request.counts:
        sys.stdout.write(f"{selected}\n")
    if request.exit_status and not selected:
        run.set_status(EXIT_DIFFERENT)
    return run.status


def _expression(request: Request, names: Names | None) -> tree.Expr:
    """The tree of EXPR. Where a file is in its place, that is what is told, not what is wrong with it as a name."""
    text = request.expression or ""
    is_file = request.input is None and os.path.isfile(text)
    try:
        node = parse(text, names)
    except ExpressionError:
        if not is_file:
            raise
    else:
        if not is_file or names is not None or not needs_names(node):
            return node
    raise UsageError(f"'{text}' is a file, and EXPR comes before it, as in mmiotools filter all {text}")


def _pattern(option: str, source: str | None) -> re.Pattern[bytes] | None:
    if source is None:
        return None
    from mmiotools.filters.patterns import compile_pattern

    try:
        return compile_pattern(as_bytes(source))
    except ValueError as error:
        raise UsageError(f"{option} '{source}': bad regular expression: {error}") from error


def _quickly(asked: Asked) -> int | None:
    """From a native file, or a small one of mmiotrace text, to text, or its count; None where it is something else that
    is asked for.
    """
    request = asked.request
    stages = (request.from_mark, request.to_mark, request.first, request.last)
    if any(stage is not None for stage in stages) or request.fold_polls or request.unfolds:
        return None
    if request.from_format not in (None, "native", "mmiotrace") or request.input in (None, "-"):
        return None
    try:
        # What can be opened but once, as a FIFO, is left to who reads it.
        if not stat.S_ISREG(os.stat(str(request.input)).st_mode):
            return None
        file = open(str(request.input), "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        return None
    with file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return None
        container = "native" if os.pread(file.fileno(), len(MAGIC), 0) == MAGIC else "mmiotrace"
        if request.from_format not in (None, container) or not (request.counts or _to_text(request, container)):
            return None
        return (_from_native if container == "native" else _from_text)(asked, file.fileno(), about.st_size)


def _to_text(request: Request, container: str) -> bool:
    """Whether the output is mmiotrace text; formats take a while to import."""
    target = request.to_format
    if target is None and request.output not in (None, "-"):
        target = format_for_path(str(request.output))
    return (container if target is None else target) == "mmiotrace"


def _from_text(asked: Asked, descriptor: int, size: int) -> int | None:
    from mmiotools.quick.lines import MOST, select_lines

    request = asked.request
    if size > MOST:
        return None
    text = os.pread(descriptor, size, 0)
    found = select_lines(text, asked.node, asked.window, request.bare, known=request.from_format is not None)
    if found is None:
        return None
    kept, selected = found
    if not request.counts:
        with open_bytes(request.output, (request.input,), binary=False) as out:
            out.write(kept)
    return selected


def _from_native(asked: Asked, descriptor: int, size: int) -> int | None:
    from mmiotools.quick.select import Question, open_selection

    question = Question(asked.node, asked.window.first, asked.window.last, asked.request.bare, asked.request.counts)
    selection = open_selection(descriptor, size, question)
    return None if selection is None else _write(asked, _watched(asked, selection, size))


def _watched(asked: Asked, selection: Selection, size: int) -> Iterator[Part]:
    """What is selected from a file of `size` bytes, with a bar where one is wanted."""
    if asked.request.quiet or not sys.stderr.isatty():
        return selection.parts()
    from mmiotools.cli.progress import Meter, with_progress

    about = Meter(str(asked.request.input), size, lambda: selection.consumed)
    return with_progress(selection.parts(), about, lambda part: part.events)


def _write(asked: Asked, parts: Iterator[Part]) -> int | None:
    from mmiotools.formats.native_stored import Unfit

    request = asked.request
    selected = 0
    if request.counts:
        try:
            return sum(part.selected for part in parts)
        except Unfit:
            return None
    with open_bytes(request.output, (request.input,), binary=False) as out:
        written = 0
        try:
            for part in parts:
                if part.text:
                    out.write(part.text)
                    written += len(part.text)
                selected += part.selected
        except Unfit:
            from mmiotools.cli.filter_batches import select_batches

            # All of it once more: what was written already is the same.
            selected = select_batches(asked, cast(BinaryIO, _Behind(out, written)))
    return selected


class _Behind:
    """A stream that has its first bytes already."""

    def __init__(self, out: BinaryIO, there: int) -> None:
        self._out = out
        self._there = there

    def write(self, data: bytes) -> int:
        """Write what is not there yet."""
        known = min(self._there, len(data))
        self._there -= known
        self._out.write(memoryview(data)[known:])
        return len(data)
