"""Many inputs of one command: the files that words, folders and patterns stand for, and what each becomes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmiotools.errors import UsageError
from mmiotools.formats import FORMATS
from mmiotools.formats.source import strip_compression


class Job(NamedTuple):
    """A file to read, and the file to write."""

    input: str
    output: str


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
    for path, base in _files(inputs, "" if folder is not None else FORMATS.get(target).suffixes[0]):
        name = _renamed(path, target)
        output = name if folder is None else os.path.join(folder, os.path.relpath(name, base))
        real = os.path.realpath(output)
        if path in jobs:
            continue
        if real in sources:
            raise UsageError(f"{sources[real]} and {path} would both become {output}")
        sources[real] = path
        jobs[path] = Job(path, output)
    if not jobs:
        raise UsageError(f"{', '.join(inputs)}: there is no file in it to convert")
    for path in jobs:
        if os.path.realpath(path) in sources:
            raise UsageError(
                f"{path}: is an input; it would be overwritten by what {sources[os.path.realpath(path)]} becomes"
            )
    return list(jobs.values())


def _is_pattern(word: str) -> bool:
    return glob.has_magic(word) and not os.path.exists(word)


def _files(inputs: Sequence[str], made: str) -> Iterator[tuple[str, str]]:
    """Each file and the folder that its place is told from. Those found in a folder do not count if they end with
    `made`: they are what the others become.
    """
    for word in inputs:
        if _is_pattern(word):
            found = sorted(path for path in glob.glob(word, recursive=True) if os.path.isfile(path))
            if not found:
                raise UsageError(f"{word}: no file is called so")
            yield from ((path, os.path.dirname(path)) for path in found)
        elif os.path.isdir(word):
            for path in _inside(word):
                if not made or not strip_compression(path).endswith(made):
                    yield path, word
        else:
            yield word, os.path.dirname(word)


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
    for known in FORMATS.builtin_names():
        for suffix in FORMATS.get(known).suffixes:
            if bare.lower().endswith(suffix) and len(bare) > len(suffix):
                return os.path.join(folder, bare[: -len(suffix)] + FORMATS.get(target).suffixes[0])
    return os.path.join(folder, bare + FORMATS.get(target).suffixes[0])
