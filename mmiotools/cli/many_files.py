"""Many inputs of one command: the files that words, folders and patterns stand for, and what each becomes."""

from __future__ import annotations

import glob
import os

from mmiotools.errors import MmioToolsError, NotATrace, UsageError
from mmiotools.formats import FORMATS, detect
from mmiotools.formats.source import open_source, strip_compression
from mmiotools.typed import Iterator, NamedTuple, Sequence

#: Suffixes of formats that other files have, too.
_COMMON = frozenset({".txt", ".log", ".csv", ".tsv", ".json", ".trace"})


class Job(NamedTuple):
    """A file to read, and the file to write. `named`: it was asked for by its name, not found in a folder."""

    input: str
    output: str
    named: bool = True

    @property
    def may_be_no_trace(self) -> bool:
        """Whether nobody said that it is a trace: it lay in a folder, and its suffix is not that of traces alone."""
        return not self.named and not _trace_suffix(self.input)


def are_many(inputs: Sequence[str], output: str | None) -> bool:
    """Whether a command line means files beside each other: several inputs, a folder or a pattern, or a folder to write
    to.
    """
    if output is not None and output != "-" and (output.endswith(os.sep) or os.path.isdir(output)):
        return bool(inputs)
    return len(inputs) > 1 or any(os.path.isdir(word) or _is_pattern(word) for word in inputs)


def plan(inputs: Sequence[str], folder: str | None, target: str) -> list[Job]:
    """What is to be done: the files in `folder`, or each beside its input, with the suffix of the format `target`.

    Raises UsageError for what cannot be meant: standard input, nothing found, two files that would become the same, an
    input that would be overwritten.
    """
    if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(
            f"{folder}: is no folder; several inputs need one, or are written beside themselves without -o"
        )
    if "-" in inputs or folder == "-":
        raise UsageError(
            "standard input and output are for one trace; several are read from files, and written to files"
        )
    if len(inputs) == 2 and not any(map(_is_pattern, inputs)) and not os.path.exists(inputs[1]):
        raise UsageError(f"{inputs[1]}: no such file or directory; if it is to be written, put -o before it")
    jobs: dict[str, Job] = {}
    sources: dict[str, str] = {}
    for path, base, named in _files(inputs, "" if folder is not None else FORMATS.get(target).suffixes[0]):
        name = _renamed(path, target)
        output = name if folder is None else os.path.join(folder, os.path.relpath(name, base))
        real = os.path.realpath(output)
        if path in jobs:
            jobs[path] = jobs[path]._replace(named=named or jobs[path].named)
            continue
        jobs[path] = Job(path, output, named)
        if real in sources and not _passed_over(jobs[sources[real]]):
            if _passed_over(jobs[path]):
                continue
            raise UsageError(f"{sources[real]} and {path} would both become {output}")
        sources[real] = path
    if not jobs:
        raise UsageError(f"{', '.join(inputs)}: there is no file in it to convert")
    for path in jobs:
        if os.path.realpath(path) in sources:
            raise UsageError(
                f"{path}: is an input; it would be overwritten by what {sources[os.path.realpath(path)]} becomes"
            )
    return list(jobs.values())


def _passed_over(job: Job) -> bool:
    """Whether it is no trace, and need not be one."""
    if not job.may_be_no_trace:
        return False
    try:
        source = open_source(job.input)
        try:
            detect(source)
        finally:
            source.close()
    except MmioToolsError as error:
        return isinstance(error, NotATrace)
    return False


def _is_pattern(word: str) -> bool:
    return glob.has_magic(word) and not os.path.exists(word)


def _files(inputs: Sequence[str], made: str) -> Iterator[tuple[str, str, bool]]:
    """Each file, the folder that its place is told from, and whether it was named: a pattern names what a shell would
    make of it. Files found in a folder do not count if they end with `made`: they are what the others become.
    """
    for word in inputs:
        if _is_pattern(word):
            found = sorted(path for path in glob.glob(word, recursive=True) if os.path.isfile(path))
            if not found:
                raise UsageError(f"{word}: no file is called so")
            yield from ((path, os.path.dirname(path), True) for path in found)
        elif os.path.isdir(word):
            for path in _inside(word):
                if not made or not strip_compression(path).endswith(made):
                    yield path, word, False
        else:
            yield word, os.path.dirname(word), True


def _inside(folder: str) -> Iterator[str]:
    """The files of a folder and of those in it, by name; hidden ones are passed over."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(where, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield path


def _renamed(path: str, target: str) -> str:
    """The path with another format's suffix, in place of that of any format and compression."""
    folder, name = os.path.split(path)
    bare = strip_compression(name)
    suffix = next(_suffixes(bare), "")
    return os.path.join(folder, bare[: len(bare) - len(suffix)] + FORMATS.get(target).suffixes[0])


def _suffixes(bare: str) -> Iterator[str]:
    """The suffixes of formats that a name without one of compression has."""
    for known in FORMATS.builtin_names():
        for suffix in FORMATS.get(known).suffixes:
            if bare.lower().endswith(suffix) and len(bare) > len(suffix):
                yield suffix


def _trace_suffix(path: str) -> bool:
    """Whether a file is called as only traces that can be read are."""
    bare = os.path.basename(strip_compression(path))
    known = {
        suffix
        for name in FORMATS.builtin_names()
        if FORMATS.get(name).readable
        for suffix in FORMATS.get(name).suffixes
    }
    return any(suffix in known - _COMMON for suffix in _suffixes(bare))
