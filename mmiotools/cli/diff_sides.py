"""The inputs of `diff`, read."""

from __future__ import annotations

import os
import sys
from itertools import chain

from mmiotools.cli.ahead import Ahead, worth_reading_ahead
from mmiotools.cli.common import Run
from mmiotools.cli.diff_views import Wanted
from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.formats import open_trace
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.shared import Description
from mmiotools.trace.sharing import SharedColumns, map_accesses
from mmiotools.typed import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Record, Sequence

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch


class Side(Record):
    """One of the two inputs: its accesses, and what is needed to read it again. The header of one that was read in
    another process is not asked for.
    """

    name: str
    header: TraceHeader | None
    accesses: Accesses
    until: int | None
    again: Callable[[], Iterable[Batch]]


def read_sides(
    run: Run,
    versions: Iterable[Sequence[str]],
    from_format: str | None,
    wanted: Wanted,
    early: Sequence[Ahead] = (),
) -> list[list[Side]]:
    """Read the files of each version; the first of the first is side "a", that of the second "b".

    Of two files that follow each other the second is read in another process, if that is worth it; those of `early`,
    where there are any, are the first, and are being read already.
    """
    jobs = [
        (path, "ab"[number] if number < 2 and not at else "")
        for number, files in enumerate(versions)
        for at, path in enumerate(files)
    ]
    sides: list[Side] = []
    if early:
        _wait(run, [path for path, _ in jobs[: len(early)]], early)
    found = [read.result() for read in early]
    if any(found):
        for (path, _), read, told in zip(jobs, early, found, strict=False):
            if told is None:
                sides.append(read_side(run, path, "", from_format, wanted))
                continue
            accesses = _asked_for(map_accesses(read.columns, Description.unpacked(told)), wanted)
            sides.append(Side(path, None, accesses, None, _again(path, from_format)))
    while len(sides) < len(jobs):
        both = jobs[len(sides) : len(sides) + 2]
        if len(both) == 2 and all(worth_reading_ahead(path) and wanted.only_accesses(side) for path, side in both):
            sides += _read_two(run, both[0][0], both[1][0], from_format, wanted)
        else:
            sides.append(read_side(run, *both[0], from_format, wanted))
    rest = iter(sides)
    return [[next(rest) for _ in files] for files in versions]


def _wait(run: Run, paths: Sequence[str], early: Sequence[Ahead]) -> None:
    """Until they have been read, with a bar where one is wanted."""
    if run.quiet or not sys.stderr.isatty():
        return
    from mmiotools.cli.progress import Meter, with_progress

    size = sum(map(os.path.getsize, paths))
    about = Meter(f"{len(paths)} files", size, lambda: sum(read.done() for read in early))
    for _ in with_progress(chain.from_iterable(read.waiting() for read in early), about, lambda _: 0):
        pass


def _read_two(run: Run, first: str, second: str, from_format: str | None, wanted: Wanted) -> list[Side]:
    def read(columns: int, told: Callable[[int], None]) -> bytes:
        shared = SharedColumns(columns)
        side = read_side(Strict(), second, "", from_format, wanted, shared.growing)
        return shared.write(side.accesses.hashed(shared.growing("u8"))).packed()

    with Ahead(read) as ahead:
        here = read_side(run, first, "", from_format, wanted)
        here = here._replace(accesses=here.accesses.hashed(GrowingColumn("u8", len(here.accesses))))
        found = ahead.result()
        accesses = None if found is None else map_accesses(ahead.columns, Description.unpacked(found))
    if accesses is None:
        return [here, read_side(run, second, "", from_format, wanted)]
    return [here, Side(second, None, accesses, None, _again(second, from_format))]


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
    from mmiotools.trace.collect import COLLECTED, collect  # takes a while, and large files are mostly read elsewhere

    trace = run.open_input(path, from_format, columns=None if wanted.as_trace == side else COLLECTED)
    batches = trace.batches
    again = _again(path, from_format)
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
    until = None if finder is None else finder.found
    return Side(trace.name, trace.header, _asked_for(accesses, wanted), until, again)


def _again(path: str, from_format: str | None) -> Callable[[], Iterable[Batch]]:
    return lambda: open_trace(path, from_format).batches


def _asked_for(accesses: Accesses, wanted: Wanted) -> Accesses:
    return accesses.take(flatnonzero(accesses.op == Kind.WRITE)) if wanted.only_writes else accesses


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
