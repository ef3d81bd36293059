"""The format family: bytes ↔ batches. One file a format, named by the word the user types."""

from __future__ import annotations

from itertools import chain

from mmiotools.errors import FormatError, NotATrace, UsageError
from mmiotools.trace.registry import Registry
from mmiotools.typed import TYPE_CHECKING, Callable, Iterator, TypeVar

if TYPE_CHECKING:
    from mmiotools.events import Event
    from mmiotools.formats.base import Format, Sniff
    from mmiotools.formats.source import ByteSource
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.header import Trace
    from mmiotools.trace.zones import Choice

# What opens a trace is imported by what opens one: every format's module needs this one, and some commands no more.

T = TypeVar("T")

FORMATS: Registry[Format] = Registry(
    "format",
    {
        "mmiotrace": "mmiotools.formats.mmiotrace:FORMAT",
        "native": "mmiotools.formats.native:FORMAT",
        "jsonl": "mmiotools.formats.jsonl:FORMAT",
        "ftrace": "mmiotools.formats.ftrace:FORMAT",
        "csv": "mmiotools.formats.csv:CSV",
        "tsv": "mmiotools.formats.csv:TSV",
        "c": "mmiotools.formats.c:FORMAT",
        "python": "mmiotools.formats.python:FORMAT",
        "qtest": "mmiotools.formats.qtest:FORMAT",
        "devmem": "mmiotools.formats.devmem:FORMAT",
        "qemu-log": "mmiotools.formats.qemu_log:FORMAT",
        "qemu-simple": "mmiotools.formats.qemu_simple:FORMAT",
        "relay": "mmiotools.formats.relay:FORMAT",
        "mmt": "mmiotools.formats.mmt:FORMAT",
        "mmt-text": "mmiotools.formats.mmt_text:FORMAT",
        "renode": "mmiotools.formats.renode:FORMAT",
        "serialice": "mmiotools.formats.serialice:FORMAT",
        "panda": "mmiotools.formats.panda:FORMAT",
        "conware": "mmiotools.formats.conware:FORMAT",
        "pcileech": "mmiotools.formats.pcileech:FORMAT",
        "parquet": "mmiotools.formats.arrow:PARQUET",
        "arrow": "mmiotools.formats.arrow:ARROW",
        "vcd": "mmiotools.formats.vcd:FORMAT",
        "perfetto": "mmiotools.formats.perfetto:FORMAT",
    },
    group="mmiotools.formats",
)


#: Last suffixes that no other format's ends with, of those that are written most: all formats need not be imported.
PLAIN_SUFFIXES = {".mmio": "native", ".mmiotrace": "mmiotrace", ".jsonl": "jsonl"}


def detect(source: ByteSource) -> Format:
    """The format that the input's first bytes show: the first that is sure, else the one that is likeliest.

    Raises NotATrace when none fits, and FormatError when several fit equally well.
    """
    from mmiotools.formats.base import Sniff

    ranked: list[tuple[Sniff, Format]] = []
    # A native file is sure at once, and the formats of text take longer to import than to be ruled out.
    for name in chain(["native"], (name for name in FORMATS.each() if name != "native")):
        try:
            candidate = FORMATS.get(name)
        except UsageError:
            continue  # a broken plug-in; `list formats` tells its reason
        if candidate.readable:
            ranked.append((candidate.sniff(source.head), candidate))
            if ranked[-1][0] == Sniff.YES:
                return candidate  # the formats behind it need not even be imported
    best = max(score for score, _ in ranked)
    winners = [candidate for score, candidate in ranked if score == best]
    if best == Sniff.NO:
        raise NotATrace(f"{source.name}: in no known format; name one with --from (see `mmiotools list formats`)")
    if len(winners) > 1:
        names = " or ".join(sorted(candidate.name for candidate in winners))
        raise FormatError(f"{source.name}: could be {names}; say which with --from")
    return winners[0]


def open_trace(
    path: str | None,
    format_name: str | None = None,
    columns: frozenset[str] | None = None,
    choice: Choice | None = None,
    *,
    blocks: bool = False,
) -> Trace:
    """Open a trace by path (None or "-": standard input). Raises UsageError or FormatError.

    columns  those that are looked at, for formats that are quicker without the others; None for all
    choice   the blocks that are looked at, for formats that have blocks; None for all
    blocks   whether batches are to come with their blocks, for a writer that takes them over; what is no file is first
             copied into one, so that nothing that is said at its end comes too late
    """
    from mmiotools.formats.source import open_source
    from mmiotools.trace.header import Spread, Tallied, Trace
    from mmiotools.trace.tally import Counted

    source = open_source(path)
    if blocks:
        source = source.seekable()
    chosen = detect(source) if format_name is None else FORMATS.get(format_name)
    if not chosen.readable:
        raise UsageError(f"format '{chosen.name}' can be written but not read")
    header, batches = chosen.read(source)
    header.format = header.format or chosen.name
    spread, counting = getattr(batches, "spread", None), getattr(batches, "counting", None)
    if columns is not None and hasattr(batches, "only"):
        batches.only(columns)
    if choice is not None and hasattr(batches, "choose"):
        batches.choose(choice)
    if blocks and hasattr(batches, "with_blocks"):
        batches.with_blocks()
    told = getattr(batches, "told", None)
    trace = Trace(
        header,
        _with_problem(batches, _noted, source),
        source.name,
        source.size,
        lambda: source.consumed,
        chosen.name,
        told,
    )
    if spread is not None:
        trace.spread = lambda function: _with_problem(
            spread(function), lambda note: Spread.of(function, _noted(note)), source
        )
    if counting is not None:
        trace.counting = lambda function: _with_problem(
            counting(function), lambda note: Tallied.of(function, Counted(1, rest=[note], rows=[0])), source
        )
    return trace


def _with_problem(items: Iterator[T], noted: Callable[[Event], T], source: ByteSource) -> Iterator[T]:
    """The items, then what `noted` makes of a damaged NOTE if the input's compression broke off; then the input is
    closed.
    """
    try:
        yield from items
        if source.problem is not None:
            from mmiotools.formats.base import damaged

            yield noted(damaged(source.problem, events=0, offset=source.problem_at))
    finally:
        source.close()


def _noted(note: Event) -> Batch:
    from mmiotools.trace.batch import Batch

    return Batch.from_events([note])


def format_for_path(path: str) -> str | None:
    """The writable format with the longest suffix that an output path has, looking below a compression suffix."""
    from mmiotools.formats.source import strip_compression

    bare = strip_compression(path).lower()
    name = bare.rpartition("/")[2]
    plain = PLAIN_SUFFIXES.get(name[max(name.rfind("."), 0) :])
    if plain is not None or "." not in name:
        return plain
    longest = 0
    chosen = None
    for known in FORMATS.names():
        try:
            candidate = FORMATS.get(known)
        except UsageError:
            continue
        if candidate.writable:
            length = max((len(suffix) for suffix in candidate.suffixes if bare.endswith(suffix)), default=0)
            if length > longest:
                longest, chosen = length, candidate.name
    return chosen
