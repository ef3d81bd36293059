"""What every reader of register maps needs: the bounded text of a file, errors with their place, and a list of
registers that grows under limits.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from mmiotools.errors import FormatError, UsageError
from mmiotools.trace.regmap import MAX_ELEMENTS, Binding, Field, Register, RegisterMap, fault_of
from mmiotools.typed import Callable, Iterable

#: Largest file that is read, in bytes; the largest vendor files that are known have a third of it.
MAX_BYTES = 32 << 20
#: Registers of one file, arrays counted once.
MAX_REGISTERS = 1 << 18
#: Fields of one file, counted once a register that has them.
MAX_FIELDS = 1 << 20


@dataclass(slots=True)
class Source:
    """A file to read maps from: its path as the user gave it, its text, and what there is to tell about it."""

    path: str
    text: str
    notes: list[str] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return Path(self.path).stem

    def error(self, message: str, line: int | None = None) -> FormatError:
        """The error to raise, with the place in the file."""
        return FormatError(f"{self.path}{f':{line}' if line else ''}: {message}")

    def note(self, message: str) -> None:
        """Something that the user should know, but that is no error."""
        self.notes.append(f"{self.path}: {message}")


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of one kind of file.

    recognises  whether a text is of this kind, for files whose suffix does not say
    read        its maps; raises FormatError with file and line
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    recognises: Callable[[str], bool]
    read: Callable[[Source], list[RegisterMap]]


def read_text(path: str) -> str:
    """The text of a file of at most MAX_BYTES. Raises UsageError where it cannot be read, FormatError if it is none."""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path}: is no regular file")
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise UsageError(f"{path}: is a directory") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise FormatError(f"{path}: has more than {MAX_BYTES >> 20} MiB, which no register map needs")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(f"{path}: is no text, so it is no register map")
    if not data.strip():
        raise FormatError(f"{path}: is empty")
    return data.decode("utf-8-sig", "replace")


class Collector:
    """The registers of a map, checked one by one as they come."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._elements = self._fields = 0
        self.registers: list[Register] = []

    def add(self, register: Register, line: int | None = None) -> None:
        """Take in a register. Raises FormatError when something is wrong with it, or there are too many."""
        fault = fault_of(register)
        if fault is not None:
            raise self._source.error(f"register '{register.name[:80]}': {fault}", line)
        self._elements += register.count
        self._fields += len(register.fields)
        if len(self.registers) >= MAX_REGISTERS or self._elements > MAX_ELEMENTS or self._fields > MAX_FIELDS:
            raise self._source.error(f"there are too many registers; {MAX_ELEMENTS} are the most", line)
        self.registers.append(register)

    def map(self, title: str = "", binding: Binding | None = None, name: str = "") -> RegisterMap:
        """The map. Raises FormatError when it has no registers."""
        if not self.registers:
            raise self._source.error("holds no registers")
        return RegisterMap(
            name or self._source.stem, title or self._source.stem, binding or Binding(), tuple(self.registers)
        )


def number(text: str) -> int | None:
    """A number as files write it: 0x…, #… and 0b… of binary, decimal, with U and L behind; None when it is none."""
    word = text.strip().lower().rstrip("ul")
    try:
        if word.startswith("#"):
            return int(word[1:], 2)
        if len(word) > 40 or "_" in word:
            return None
        if word.startswith(("0x", "0b")):
            return int(word, 0)
        return int(word, 10)
    except ValueError:
        return None


def distinct(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Fields without those whose name was there before."""
    held: dict[str, Field] = {}
    for item in fields:
        held.setdefault(item.name, item)
    return tuple(held.values())
