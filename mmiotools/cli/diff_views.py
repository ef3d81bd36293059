"""The options of `diff` that say what is shown and where to, and what they do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mmiotools.cli.ahead import Ahead, worth_reading_ahead
from mmiotools.cli.common import Run, choose_format, default_format, open_bytes, open_output, want_color
from mmiotools.cli.options import F, output_option, strict_option, to_option
from mmiotools.diff.groups import Groups, group_json, group_lines
from mmiotools.diff.hunks import DRIVER, VOLATILE, Comparison, volatile_accesses
from mmiotools.diff.views import DEFAULT, VIEWS, Options
from mmiotools.diff.views.base import count_text
from mmiotools.errors import EXIT_DIFFERENT, UsageError
from mmiotools.events import Kind
from mmiotools.formats import open_trace
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import COLLECTED, collect
from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.header import Trace, TraceHeader
from mmiotools.trace.matching import Accesses
from mmiotools.trace.naming import Naming
from mmiotools.trace.sharing import SharedColumns

if TYPE_CHECKING:
    # Only --regs pays for names of registers.
    from mmiotools.trace.names import Names


def complete_views(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of views."""
    return [name for name in VIEWS.names() if name.startswith(incomplete)]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
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


def view_options(function: F) -> F:
    """All options of `Wanted` but --color."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Wanted:
    """What the options ask for; a field an option. Raises UsageError where they contradict each other."""

    view: str | None
    stat: bool
    html: str | None
    as_trace: str | None
    counts: bool
    brief: bool
    only_writes: bool
    show_volatile: bool
    everything: bool
    at: str | None
    context: int
    width: int | None
    to_format: str | None
    output: str | None
    strict: bool
    color: str

    def __post_init__(self) -> None:
        chosen = [name for name in ("view", "stat", "html", "as_trace", "counts") if getattr(self, name)]
        chosen += ["brief"] if self.brief and chosen != ["counts"] else []
        if len(chosen) > 1:
            raise UsageError(f"{_option(chosen[0])} and {_option(chosen[1])} do not go together")
        for name, needed in (("at", "state"), ("everything", "registers")):
            if getattr(self, name) and self.name != needed:
                raise UsageError(f"{_option(name)} is for --view {needed}")
        for name in ("to_format", "output", "strict"):
            if getattr(self, name) and not self.as_trace:
                raise UsageError(f"{_option(name)} is for --as-trace")
        VIEWS.get(self.name)

    def check_many(self) -> None:
        """Nothing, or UsageError where an option is for two traces only."""
        for name in ("stat", "html", "as_trace", "counts"):
            if getattr(self, name):
                raise UsageError(f"{_option(name)} is for two traces")
        if self.name not in (DEFAULT, "json"):
            raise UsageError(f"view {self.name} is for two traces")

    def only_accesses(self, side: str) -> bool:
        """Are the accesses of this side all that is looked at?"""
        return self.at is None and (not side or self.as_trace != side)

    @property
    def name(self) -> str:
        """The view."""
        return "stat" if self.stat else "html" if self.html else self.view or DEFAULT

    def options(self, until: tuple[int, int] | None = None, naming: Naming | None = None) -> Options:
        """What the views are told."""
        color = self.html is None and want_color(self.color)
        columns = self.width or shutil.get_terminal_size().columns
        return Options(self.context, columns, color, self.show_volatile, self.everything, until, naming)


def _option(name: str) -> str:
    return {"everything": "--all", "to_format": "-t", "output": "-o"}.get(name, f"--{name.replace('_', '-')}")


@dataclass(slots=True, eq=False, repr=False)
class Side:
    """One of the two inputs: its accesses, and what is needed to read it again."""

    trace: Trace
    accesses: Accesses
    until: int | None
    again: Callable[[], Iterable[Batch]]


def read_sides(
    run: Run, versions: Iterable[Sequence[str]], from_format: str | None, wanted: Wanted
) -> list[list[Side]]:
    """Read the files of each version; the first of the first is side "a", that of the second "b".

    Of two files that follow each other the second is read in another process, if that is worth it.
    """
    jobs = [
        (path, "ab"[number] if number < 2 and not at else "")
        for number, files in enumerate(versions)
        for at, path in enumerate(files)
    ]
    sides: list[Side] = []
    while len(sides) < len(jobs):
        both = jobs[len(sides) : len(sides) + 2]
        if len(both) == 2 and all(worth_reading_ahead(path) and wanted.only_accesses(side) for path, side in both):
            sides += _read_two(run, both[0][0], both[1][0], from_format, wanted)
        else:
            sides.append(read_side(run, *both[0], from_format, wanted))
    rest = iter(sides)
    return [[next(rest) for _ in files] for files in versions]


def _read_two(run: Run, first: str, second: str, from_format: str | None, wanted: Wanted) -> list[Side]:
    def read(shared: SharedColumns) -> tuple[TraceHeader, Accesses]:
        side = read_side(Strict(), second, "", from_format, wanted, shared.growing)
        return side.trace.header, side.accesses.hashed(shared.growing("u8"))

    with Ahead(read) as ahead:
        here = read_side(run, first, "", from_format, wanted)
        here.accesses = here.accesses.hashed(GrowingColumn("u8", len(here.accesses)))
        found = ahead.result()
    if found is None:
        return [here, read_side(run, second, "", from_format, wanted)]
    trace = run.open_input(second, from_format, columns=COLLECTED)
    trace.header = found[0]
    return [here, Side(trace, found[1], None, lambda: open_trace(second, from_format).batches)]


class Strict(Run):
    """A run in which there is nothing to say. Whatever there is ends it."""

    def say(self, message: str) -> None:
        """Raises UsageError."""
        raise UsageError(message)


def read_side(
    run: Run,
    path: str,
    side: str,
    from_format: str | None,
    wanted: Wanted,
    column: Callable[[str, int], GrowingColumn] = GrowingColumn,
) -> Side:
    """Read side "a" or "b" as far as the options need it. Raises UsageError when it has not the mark of --at.

    column  makes the columns, see `collect`
    """
    trace = run.open_input(path, from_format, columns=None if wanted.as_trace == side else COLLECTED)
    batches = trace.batches
    again: Callable[[], Iterable[Batch]] = lambda: open_trace(path, from_format).batches  # noqa: E731
    if wanted.as_trace == side and (path == "-" or trace.size is None):
        # Standard input and pipes can be read once.
        kept: list[Batch] = []
        batches, again = _keeping(batches, kept), lambda: kept
    finder = None
    if wanted.at is not None:
        from mmiotools.diff.marks import MarkFinder

        finder = MarkFinder(_pattern(wanted.at))
        batches = finder.watch(batches)
    accesses = collect(batches, trace.events, column)
    if finder is not None and finder.found is None:
        raise UsageError(f"{trace.name}: no mark matches '{wanted.at}'")
    if wanted.only_writes:
        accesses = accesses.take(np.flatnonzero(accesses.op == Kind.WRITE))
    return Side(trace, accesses, None if finder is None else finder.found, again)


def _pattern(source: str) -> Any:
    from mmiotools.filters.lexer import as_bytes
    from mmiotools.filters.patterns import compile_pattern

    try:
        return compile_pattern(as_bytes(source))
    except ValueError as error:
        raise UsageError(f"--at '{source}': bad regular expression: {error}") from error


def _keeping(batches: Iterator[Batch], kept: list[Batch]) -> Iterator[Batch]:
    for batch in batches:
        kept.append(batch)
        yield batch


def show_counts(run: Run, a: Side, b: Side, wanted: Wanted, names: Names | None) -> None:
    """--counts, or --counts --brief."""
    from mmiotools.diff.counts import count_lines

    naming = None if names is None else Naming(names, a.accesses, b.accesses)
    lines = count_lines(a.accesses, b.accesses, wanted.options(naming=naming))
    for first in lines:
        run.set_status(EXIT_DIFFERENT)
        if wanted.brief:
            say_brief(run, a, b)
            return
        write_lines(chain([first], lines))


def say_brief(run: Run, a: Side, b: Side) -> None:
    """The line that says that the two differ, and the status."""
    write_lines([f"{a.trace.name} and {b.trace.name} differ"])
    run.set_status(EXIT_DIFFERENT)


def show(
    run: Run,
    comparison: Comparison,
    a: Side,
    b: Side,
    wanted: Wanted,
    inputs: tuple[str, ...],
    names: Names | None = None,
) -> None:
    """Show a comparison as the options ask, and take note of the status."""
    counts = comparison.hunks.counts()
    if counts[DRIVER]:
        run.set_status(EXIT_DIFFERENT)
    view = VIEWS.get(wanted.name)()
    naming = None if names is None else Naming(names, a.accesses, b.accesses)
    if wanted.as_trace is not None:
        from mmiotools.diff.as_trace import Excerpt

        side = a if wanted.as_trace == "a" else b
        target = choose_format(wanted.to_format, wanted.output, default_format(wanted.output))
        excerpt = Excerpt(comparison, wanted.as_trace, wanted.show_volatile)
        with open_output(run, wanted.output, target, side.trace.header, inputs, wanted.strict) as sink:
            for batch in excerpt.batches(side.again()):
                sink.write(batch)
    elif wanted.html is not None:
        with open_bytes(wanted.html, inputs, binary=False) as out:
            for part in _encoded(view.render(comparison, wanted.options(naming=naming))):
                out.write(part)
    else:
        until = None if a.until is None or b.until is None else (a.until, b.until)
        write_lines(view.render(comparison, wanted.options(until, naming)))
    if counts[VOLATILE] and not wanted.show_volatile and (view.sets_aside or wanted.as_trace):
        hunks = count_text(counts[VOLATILE], "volatile hunk")
        accesses = count_text(volatile_accesses(comparison), "access", "accesses")
        run.say(f"{hunks} ({accesses}) set aside; --show-volatile shows them")


def show_groups(run: Run, groups: Groups, wanted: Wanted, names: Names | None) -> None:
    """Show a comparison of more than two versions, the odd one out against the most typical one."""
    if groups.odd >= 0:
        run.set_status(EXIT_DIFFERENT)
    if wanted.brief:
        write_lines(["the traces differ"] if groups.odd >= 0 else [])
        return
    as_json = wanted.name == "json"
    write_lines(group_json(groups) if as_json else group_lines(groups))
    if groups.oddity is not None:
        naming = None if names is None else Naming(names, groups.oddity.a, groups.oddity.b)
        lines = VIEWS.get(wanted.name)().render(groups.oddity, wanted.options(naming=naming))
        write_lines(chain([] if as_json else [""], lines))


def write_lines(lines: Iterable[str]) -> None:
    """Print lines, many at a time."""
    for part in _encoded(lines):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _encoded(lines: Iterable[str]) -> Iterator[bytes]:
    rest = iter(lines)
    while part := list(islice(rest, 4096)):
        yield ("\n".join(part) + "\n").encode("utf-8", "surrogateescape")
