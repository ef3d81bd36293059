"""What the commands share: opening inputs and outputs, reporting damage, and the exit status of a run."""

from __future__ import annotations

import errno
import os
import stat
import sys

from mmiotools.errors import EXIT_DAMAGED, EXIT_OK, TargetCannotHold, UsageError, combine
from mmiotools.events import Kind, events_lost, is_damage
from mmiotools.formats import FORMATS, format_for_path, open_trace
from mmiotools.small import Counter, contextmanager, suppress
from mmiotools.trace.memory import keep_freed_memory
from mmiotools.typed import TYPE_CHECKING, Any, BinaryIO, Callable, Iterator, Mapping, TypeAlias, TypeVar

if TYPE_CHECKING:
    # Not every command looks at columns, and only --regs pays for names of registers.
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.header import Spread, Tallied, Trace, TraceHeader
    from mmiotools.trace.names import Names
    from mmiotools.trace.zones import Choice

T = TypeVar("T")
Extra: TypeAlias = Mapping[str, Any]

#: Links that are followed, as by the system.
_LINKS = 40
#: What a file that is being written meets where there is no room for it.
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
#: Damaged places that are told one by one; the rest are only counted.
TOLD = 10


class Run:
    """One run of a command: says things on standard error, and gathers the exit status."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._statuses = {EXIT_OK}
        self._damaged: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def say(self, message: str) -> None:
        """A line on standard error, unless -q."""
        if not self.quiet:
            print(f"mmiotools: {message}", file=sys.stderr)

    def set_status(self, status: int) -> None:
        """Take note of an exit status; the strongest one wins."""
        self._statuses.add(status)

    @property
    def status(self) -> int:
        """The exit status so far."""
        return combine(*self._statuses)

    def open_input(
        self,
        path: str | None,
        format_name: str | None = None,
        *,
        progress: bool = True,
        columns: frozenset[str] | None = None,
        choice: Choice | None = None,
        blocks: bool = False,
    ) -> Trace:
        """Open a trace; damage that passes is reported with its place, counted, and makes the status 3.

        columns  those that the command looks at, None for all
        choice   the blocks that it looks at, None for all; the others are not read where that can be helped
        blocks   whether it writes the blocks as they are
        """
        if (path is None or path == "-") and sys.stdin.isatty():
            raise UsageError("no input: name a file, or pipe a trace in")
        keep_freed_memory()
        from mmiotools.cli.progress import with_progress

        trace = open_trace(path, format_name, columns, choice, blocks=blocks)
        show = progress and not self.quiet and sys.stderr.isatty()
        batches, spread, counting = trace.batches, trace.spread, trace.counting

        def watched(items: Iterator[T], size: Callable[[T], int], notes: Callable[[T], Iterator[Extra]]) -> Iterator[T]:
            return self._watch(with_progress(items, trace, size) if show else items, trace, notes)

        trace.batches = watched(batches, len, _notes)
        if spread is not None:
            trace.spread = lambda function: watched(spread(function), _events, lambda item: _notes(item.rare))
        if counting is not None:
            trace.counting = lambda function: watched(counting(function), _events, _notes_of)
        return trace

    def _watch(self, items: Iterator[T], trace: Trace, notes: Callable[[T], Iterator[Extra]]) -> Iterator[T]:
        for item in items:
            for extra in notes(item):
                if is_damage(Kind.NOTE, extra):
                    self._report(trace.name, extra)
            yield item
        if self._damaged[trace.name]:
            places, events = self._damaged[trace.name], self._lost[trace.name]
            self.say(f"{trace.name}: damaged in {places} place{'s' * (places != 1)}, events lost: {events}")

    def _report(self, name: str, extra: Extra) -> None:
        self.set_status(EXIT_DAMAGED)
        self._damaged[name] += 1
        self._lost[name] += events_lost(extra)
        if self._damaged[name] <= TOLD:
            self.say(f"{where_damaged(name, extra)}: {extra.get('reason', 'damaged')}")
        elif self._damaged[name] == TOLD + 1:
            self.say(f"{name}: further damage is counted only")


def _itself(batch: Batch) -> Batch:
    return batch


def _notes(batch: Batch) -> Iterator[Extra]:
    """The extras of the notes of a batch."""
    if batch.extras:
        yield from (batch.extras.get(row, {}) for row in batch.rows(Kind.NOTE).tolist())


def _notes_of(item: Tallied[Any]) -> Iterator[Extra]:
    return (event.extra for event in item.rare if event.kind == Kind.NOTE)


def _events(item: Spread[Any] | Tallied[Any]) -> int:
    return item.events


def where_damaged(name: str, extra: Extra) -> str:
    """`file:line` or `file: byte N` of a damaged NOTE."""
    if "line" in extra:
        return f"{name}:{extra['line']}"
    if "offset" in extra:
        return f"{name}: byte {extra['offset']}"
    return name


def choose_format(target: str | None, output: str | None, default: str) -> str:
    """The output format: --to, else by the output's suffix, else `default`."""
    if target is not None:
        if not FORMATS.get(target).writable:
            raise UsageError(f"format '{target}' can be read but not written")
        return target
    if output not in (None, "-"):
        return format_for_path(str(output)) or default
    return default


def default_format(output: str | None) -> str:
    """What record and convert write without being told: native, but readable text on a terminal."""
    return "mmiotrace" if output in (None, "-") and sys.stdout.isatty() else "native"


class Sink:
    """An open output: `write` takes batches. A format that names registers takes `names`, else the bundled maps."""

    def __init__(self, out: BinaryIO, format_name: str, header: TraceHeader, names: Names | None = None) -> None:
        from mmiotools.formats.writing import NamingWriter

        self._format = FORMATS.get(format_name)
        self._writer = self._format.writer(out, header)
        if isinstance(self._writer, NamingWriter):
            from mmiotools.regmaps import AUTO, load_names

            self._writer.names = load_names([AUTO]) if names is None else names
        self.write = self._writer.write

    def copy(self, trace: Trace, through: Callable[[Batch], tuple[Batch, int]] | None = None) -> int:
        """Write all of a trace, or what `through` makes of each batch, in several processes where its format and the
        output's can. The sum of the numbers that `through` gives besides.
        """
        from mmiotools.formats.writing import PreparingWriter

        writer = self._writer
        prepare: Callable[[Batch], Any] = _itself
        accept: Callable[[Any], None] = writer.write
        if isinstance(writer, PreparingWriter) and (writer.joins or through is None):
            prepare, accept = writer.prepare, writer.accept
        elif through is None or trace.spread is None:
            # Batches would only be carried from one process to another.
            total = 0
            for batch in trace.batches:
                made, number = (batch, 0) if through is None else through(batch)
                writer.write(made)
                total += number
            return total

        def work(batch: Batch) -> tuple[Any, int]:
            made, number = (batch, 0) if through is None else through(batch)
            return prepare(made) if len(made) else None, number

        total = 0
        for item in trace.map(work):
            prepared, number = item.result
            if prepared is not None:
                accept(prepared)
            total += number
        return total

    def close(self, run: Run, strict: bool) -> None:
        """Finish the format; say what it could not hold. Raises TargetCannotHold when `strict`."""
        self._writer.close()
        if self._writer.lost:
            what = ", ".join(f"{phrase} ({count})" for phrase, count in sorted(self._writer.lost.items()))
            message = f"format '{self._format.name}' cannot hold: {what}"
            if strict:
                raise TargetCannotHold(message)
            run.say(message)


@contextmanager
def open_output(
    run: Run,
    path: str | None,
    format_name: str,
    header: TraceHeader,
    inputs: tuple[str | None, ...] = (),
    strict: bool = False,
    names: Names | None = None,
    opened: Callable[[BinaryIO], object] = lambda raw: None,
) -> Iterator[Sink]:
    """A sink for batches. Regular files are written beside and renamed when all went well; an input is never
    overwritten; binary formats are refused on a terminal. Raises UsageError.

    opened  told the regular file itself, below any compression
    """
    binary = FORMATS.get(format_name).binary
    with open_bytes(path, inputs, binary=binary, opened=opened) as out:
        sink = Sink(out, format_name, header, names)
        yield sink
        sink.close(run, strict)


@contextmanager
def open_bytes(
    path: str | None,
    inputs: tuple[str | None, ...] = (),
    *,
    binary: bool = True,
    opened: Callable[[BinaryIO], object] = lambda raw: None,
) -> Iterator[BinaryIO]:
    """A byte stream onto a file (beside, then renamed), a device, a FIFO, standard output or whatever else is open;
    compressed by suffix.
    """
    number = None if path is None else _open_already(path)
    terminal = sys.stdout.isatty() if path in (None, "-") else number is not None and os.isatty(number)
    if binary and terminal:
        raise UsageError("binary data is not written to a terminal: use -o FILE, a pipe, or a text format with -t")
    if path is None or path == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    from mmiotools.formats.source import describe

    if any(_same_file(name, path) for name in inputs):
        raise UsageError(f"{path}: is also the input; it would be overwritten")
    direct = _opened_in_place(path, number)
    if direct is not None:
        try:
            with direct, _compressed(direct, path) as out:
                yield out
        except OSError as error:
            if error.errno in _FULL:
                raise UsageError(f"{path}: {describe(error)}") from error
            raise
        return
    target = os.path.realpath(path)
    try:
        from tempfile import mkstemp  # Only what writes a file pays for it.

        handle, beside = mkstemp(prefix=os.path.basename(target) + ".", dir=os.path.dirname(target))
    except OSError as error:
        raise UsageError(f"{path}: {describe(error)}") from error
    try:
        with os.fdopen(handle, "wb") as raw, _compressed(raw, path) as out:
            opened(raw)
            yield out
        os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o666 & ~_umask())
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise UsageError(f"{path}: {describe(error)}; nothing was written") from error
        raise


def _opened_in_place(path: str, number: int | None) -> BinaryIO | None:
    """What is written to as it is: a device, a FIFO, or the descriptor of this number, where writing goes on from where
    that is, as on standard output. None for a plain file, and where there is none yet. Raises UsageError.
    """
    from mmiotools.formats.source import describe

    try:
        mode = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path}: is a directory")
        if number is not None:
            sys.stdout.flush()
            return os.fdopen(os.dup(number), "wb")
        return None if stat.S_ISREG(mode) else open(path, "wb")
    except OSError as error:
        raise UsageError(f"{path}: {describe(error)}") from error


def _open_already(path: str) -> int | None:
    """The descriptor that a path like /dev/stdout or /dev/fd/3 is that of; None for any other path."""
    for _ in range(_LINKS):
        folder, name = os.path.split(path)
        if name.isdigit() and os.path.realpath(folder) in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            return None
    return None


def _same_file(name: str | None, target: str) -> bool:
    """Whether an input is the file that is to be written, by whatever path; standard input may be one, too."""
    try:
        about = os.stat(target)
        if name not in (None, "-"):
            return os.path.samestat(os.stat(str(name)), about)
        # A terminal or /dev/null may well be both.
        return stat.S_ISREG(about.st_mode) and os.path.samestat(os.fstat(sys.stdin.fileno()), about)
    except (OSError, ValueError):
        return False


@contextmanager
def _compressed(raw: BinaryIO, path: str) -> Iterator[BinaryIO]:
    from mmiotools.formats.source import compression_of, compressor

    codec = compression_of(path)
    if codec is None:
        yield raw
        return
    with compressor(raw, codec) as out:
        yield out


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_regs(run: Run, words: tuple[str, ...]) -> Names | None:
    """The register maps that --regs says, or None. Raises UsageError and FormatError."""
    if not words:
        return None
    from mmiotools.regmaps import load_names

    return load_names(words, run.say)


def want_color(choice: str) -> bool:
    """Whether to colour standard output: --color, else NO_COLOR, else a terminal that is not dumb."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE") or os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
