"""What the options of `diff` about what is shown do."""

from __future__ import annotations

import sys
from itertools import chain, islice

from mmiotools.cli.common import Run, choose_format, default_format, open_bytes, open_output, want_color
from mmiotools.diff.groups import Groups, group_json, group_lines
from mmiotools.diff.hunks import DRIVER, VOLATILE, Comparison, volatile_accesses
from mmiotools.diff.views import DEFAULT, VIEWS
from mmiotools.diff.views.base import Options, count_text
from mmiotools.errors import EXIT_DIFFERENT, UsageError
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.naming import Naming
from mmiotools.typed import TYPE_CHECKING, Iterable, Iterator, Record

if TYPE_CHECKING:
    from mmiotools.cli.diff_sides import Side

    # Only --regs pays for names of registers.
    from mmiotools.trace.names import Names


class Wanted(Record):
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
        columns = self.width or _columns(self.name)
        return Options(self.context, columns, color, self.show_volatile, self.everything, until, naming)


def _columns(view: str) -> int:
    if view not in ("side-by-side", "stat"):
        return 80
    from shutil import get_terminal_size  # takes a while

    return get_terminal_size().columns


def _option(name: str) -> str:
    return {"everything": "--all", "to_format": "-t", "output": "-o"}.get(name, f"--{name.replace('_', '-')}")


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
    write_lines([f"{a.name} and {b.name} differ"])
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
        with open_output(run, wanted.output, target, side.header or TraceHeader(), inputs, wanted.strict) as sink:
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
