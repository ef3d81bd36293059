"""`mmiotools split`"""

from __future__ import annotations

import contextlib
import os
import re

import click

from mmiotools.cli.common import Run, Sink, choose_format, open_output
from mmiotools.cli.options import from_option, quiet_option, strict_option, to_option
from mmiotools.errors import UsageError
from mmiotools.filters.grammar import parse_duration
from mmiotools.filters.lexer import as_bytes
from mmiotools.filters.patterns import compile_pattern
from mmiotools.formats import FORMATS
from mmiotools.streams.split import Cut, Writer, by_count, by_device, by_mark, by_size, by_time, write_parts
from mmiotools.trace.header import Trace
from mmiotools.typed import BinaryIO, Iterator

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    (
        "A hundred events a part:",
        "mmiotools split --events 100 samples/mmiotrace/nvme-linux6.1.mmiotrace -o part-%03d.mmio",
    ),
    (
        "A part for each module that was loaded, by the marks in the trace:",
        "mmiotools split --mark '^load' samples/mmiotrace/nvme-linux6.1.mmiotrace -o load-%02d.mmiotrace",
    ),
    (
        "A part for each device, by its address:",
        "mmiotools split --device samples/mmiotrace/nvme-linux6.1.mmiotrace -o device-%s.mmio",
    ),
]

_SIZE = re.compile(r"([0-9]{1,15})([kKMGT]?)")
_UNITS = {"": 0, "k": 10, "K": 10, "M": 20, "G": 30, "T": 40}
_PLACE = re.compile(r"%%|%0?[0-9]{0,2}d|%s|%")


@click.command()
@click.argument("input", required=False, type=click.Path(), metavar="[INPUT]")
@click.option(
    "-o",
    "--output",
    metavar="PATTERN",
    required=True,
    type=click.Path(),
    help="Names of the parts, as part-%03d.mmio: their number from 1 goes where %d or %03d is, and with --device the "
    "address of the device where %s is. The suffix chooses format and compression.",
)
@click.option("--events", metavar="N", type=click.IntRange(1), help="A new part after N events.")
@click.option(
    "--size",
    metavar="BYTES",
    help="A new part once BYTES were written (10k, 20M): a part is larger by what the format writes at once.",
)
@click.option("--time", "span", metavar="SECONDS", help="A new part for each span of time: 1.5, 10ms, 3us or 12ns.")
@click.option("--mark", metavar="RE", help="A new part at each MARK whose text matches.")
@click.option("--device", "devices", is_flag=True, help="A part for each PCI function that is accessed.")
@from_option
@to_option
@strict_option
@quiet_option
def command(
    input: str | None,
    output: str,
    events: int | None,
    size: str | None,
    span: str | None,
    mark: str | None,
    devices: bool,
    from_format: str | None,
    to_format: str | None,
    strict: bool,
    quiet: bool,
) -> int:
    """Cut a trace into parts.

    Each part is a trace of its own: it begins with the headers and devices so far, and with the maps that are alive
    there. Every event is in one part, damage and losses too. With --device, what is no access is in every part that is
    begun, and accesses outside of any device are in one called elsewhere. INPUT is a file, or standard input when it is
    missing or "-". The parts have the input's format unless -t or the suffix says otherwise.
    """
    if sum(value is not None and value is not False for value in (events, size, span, mark, devices)) != 1:
        raise UsageError("say how to split: one of --events, --size, --time, --mark and --device")
    pattern = _named(output, devices)
    limit, length, mark_pattern = _bytes(size), _span(span), _pattern(mark)
    run = Run(quiet)
    trace = run.open_input(input, from_format)
    same = trace.container if FORMATS.get(trace.container).writable else "native"
    with _Parts(run, trace, pattern, choose_format(to_format, output, same), input, strict) as parts:
        if devices:
            by_device(trace.batches, parts.keep_open)
        else:
            cuts: Iterator[Cut]
            if events is not None:
                cuts = by_count(trace.batches, events)
            elif limit is not None:
                cuts = by_size(trace.batches, limit, parts.written)
            elif length is not None:
                cuts = by_time(trace.batches, length)
            else:
                assert mark_pattern is not None
                cuts = by_mark(trace.batches, mark_pattern)
            write_parts(cuts, parts.next)
    run.say(parts.summary())
    return run.status


class _Parts:
    """The output files. A context manager: those that are open when all went well are finished, else dropped."""

    def __init__(self, run: Run, trace: Trace, pattern: str, target: str, input: str | None, strict: bool) -> None:
        self._run, self._trace, self._pattern, self._target = run, trace, pattern, target
        self._input, self._strict = input, strict
        self._stack = contextlib.ExitStack()
        self._raw: BinaryIO | None = None
        self._names: list[str] = []
        self._taken: set[str] = set()

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.__exit__(*failure)  # type: ignore[arg-type]

    def next(self) -> Writer:
        """End a part and begin the next."""
        self._stack.close()
        return self._open("").write

    def keep_open(self, device: str) -> Writer:
        """Begin a part beside those that are open."""
        return self._open(device).write

    def _open(self, word: str) -> Sink:
        name = _fill(self._pattern, len(self._names) + 1, word)
        if name in self._taken:
            raise UsageError(f"two parts would be called {name}: put %d into the name")
        self._taken.add(name)
        self._names.append(name)
        header, inputs = self._trace.header, (self._input,)
        opened = open_output(
            self._run, name, self._target, header, inputs, self._strict, opened=lambda raw: self._notice(raw)
        )
        sink = self._stack.enter_context(opened)
        if word:
            self._run.say(f"{name}: {word}")
        return sink

    def _notice(self, raw: BinaryIO) -> None:
        self._raw = raw

    def written(self) -> int:
        """Bytes of the part that is open."""
        return 0 if self._raw is None or self._raw.closed else self._raw.tell()

    def summary(self) -> str:
        """How many parts there are."""
        if len(self._names) < 2:
            return f"1 part: {self._names[0]}" if self._names else "no events, so no parts"
        return f"{len(self._names)} parts: {self._names[0]} to {self._names[-1]}"


def _named(output: str, devices: bool) -> str:
    """The pattern of names, with a place for what tells parts apart. Raises UsageError."""
    found = [match[0] for match in _PLACE.finditer(output) if match[0] != "%%"]
    if "%" in found:
        raise UsageError(f"-o '{output}': write %d or %03d for the number of a part, and %% for a percent sign")
    if "%s" in found and not devices:
        raise UsageError(f"-o '{output}': only --device has names for %s; write %03d for the number of a part")
    if found:
        return output
    if output == "-":
        raise UsageError("parts do not go to standard output: -o names files, as part-%03d.mmio")
    folder, name = os.path.split(output)
    stem, dot, suffix = name.partition(".")
    return os.path.join(folder, f"{stem}-%03d{dot}{suffix}")


def _fill(pattern: str, number: int, word: str) -> str:
    safe = re.sub(r"[^\w.-]+", "-", word)[:100]

    def filled(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return safe if match[0] == "%s" else match[0] % number

    return _PLACE.sub(filled, pattern)


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None or not int(match[1]):
        raise UsageError(f"--size '{text}': a number of bytes is expected, as 500k, 20M or 1G")
    return int(match[1]) << _UNITS[match[2]]


def _span(text: str | None) -> int | None:
    if text is None:
        return None
    length = parse_duration(text)
    if not 0 < length < 1 << 63:
        what = "a span of time is longer than nothing" if length <= 0 else "no trace is as long"
        raise UsageError(f"--time '{text}': {what}")
    return length


def _pattern(text: str | None) -> re.Pattern[bytes] | None:
    if text is None:
        return None
    try:
        return compile_pattern(as_bytes(text))
    except ValueError as error:
        raise UsageError(f"--mark '{text}': bad regular expression: {error}") from error
