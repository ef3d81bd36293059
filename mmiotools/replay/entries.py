"""Where interrupt handlers begin in a recording: recorded interrupts, a cause register that is named, or one that
behaves like one.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.filters.masks import Mask, register_mask
from mmiotools.replay.interrupts import GUESS, Entries
from mmiotools.trace.address_space import register_name
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Tape
from mmiotools.typed import NDArray, Sequence

AUTO, NONE = "auto", "none"

_Rows = NDArray[np.bool_]
_NUMBER = r"(0[xX][0-9a-fA-F]+|\d+)"
_CAUSE = re.compile(rf"(?:(read|write)\s+)?([^&\s]+)\s*(?:&\s*{_NUMBER}\s*(?:==\s*{_NUMBER}\s*)?)?", re.ASCII)

#: What a register has to show, to be taken for the cause of interrupts without being named: reads that are not 0, how
#: many of them the same access follows, and how many of them may have a value that comes only once.
_READS, _FOLLOWED, _ONCE = 3, 0.9, 0.5


def find_entries(tape: Tape, words: Sequence[str] = (AUTO,), names: Names | None = None) -> Entries:
    """Where handlers begin, as `--irq` says it.

    words  "auto", "none", or registers as "BAR0+0xc0", "ICR", "IIR & 1 == 0", "write INTMS"
    Raises UsageError for a register that the recording does not have, or does not read other than as 0.
    """
    if NONE in words or AUTO in words:
        if len(words) > 1:
            raise UsageError("--irq auto or none goes with no other --irq")
        return _none() if words[0] == NONE else _auto(tape)
    rows = np.zeros(len(tape), np.bool_)
    for word in words:
        found = _named(tape, word, names)
        if not found.any():
            hint = "" if names else "; names of registers need --regs"
            raise UsageError(f"--irq '{word}': the recording has no such access to {tape.pci.address}{hint}")
        rows |= found
    return Entries(flatnonzero(rows), ", ".join(words))


def _none() -> Entries:
    return Entries(np.zeros(0, np.int64), NONE)


def _named(tape: Tape, word: str, names: Names | None) -> _Rows:
    """The accesses of the card that `REGISTER`, `REGISTER & MASK` or `REGISTER & MASK == VALUE` means, (n,)."""
    parts = _CAUSE.fullmatch(word.strip())
    try:
        if parts is None:
            raise ValueError("give REGISTER, REGISTER & MASK or REGISTER & MASK == VALUE")
        op, register, mask, wanted = parts.groups()
        bits, value = (None if text is None else int(text, 0) for text in (mask, wanted))
        rows = _rows(tape, register_mask(register, names))
    except ValueError as error:
        raise UsageError(f"--irq '{word}': {error}") from error
    if op == "write" and bits is None:
        return np.asarray(rows & (tape.op == Kind.WRITE), np.bool_)
    rows &= (tape.op == (Kind.WRITE if op == "write" else Kind.READ)) & tape.has_value
    held = tape.value if bits is None else tape.value & np.uint64(bits & (1 << 64) - 1)
    return np.asarray(rows & ((held != 0) if value is None else (held == np.uint64(value & (1 << 64) - 1))), np.bool_)


def _rows(tape: Tape, mask: Mask) -> _Rows:
    return np.asarray(mask.rows(tape.accesses)[tape.rows], np.bool_)


# -- without being told -------------------------------------------------------------------------------------------


def _auto(tape: Tape) -> Entries:
    if len(tape.irq_places):
        return Entries(tape.irq_places, "recorded")
    register = _cause(tape)
    if register is None:
        return _none()
    rows = (register == _registers(tape)) & (tape.op == Kind.READ) & tape.has_value & (tape.value != 0)
    places = flatnonzero(rows)
    at = int(places[0])
    name = register_name(tape.bars[int(tape.bar[at])], int(tape.offset[at]))
    return Entries(places, f"{name}, {GUESS}")


def _registers(tape: Tape) -> NDArray[np.int64]:
    """A number for each BAR and offset, (n,)."""
    offset = np.unique(tape.offset, return_inverse=True)[1].reshape(-1)
    return np.asarray(offset * len(tape.bars) + tape.bar, np.int64)


def _cause(tape: Tape) -> int | None:
    """The one register that looks like the cause of interrupts, None when none or several do.

    Reads of it are 0 at times, and have values that recur; what follows a read that is not 0 is nearly always the
    same access, an acknowledgment say; nothing else writes it much; and the driver comes to it out of idleness, later
    after what went before than accesses commonly follow each other.
    """
    if len(tape) < 2:
        return None
    register = _registers(tape)
    times, present = tape.times()
    gaps = np.diff(times, prepend=times[:1])
    usual = float(np.median(gaps)) if present.all() else 0.0
    count = int(register.max()) + 1
    reads = (tape.op == Kind.READ) & tape.has_value
    nonzero = reads & (tape.value != 0)
    many = np.bincount(register[nonzero], minlength=count)
    zeros = np.bincount(register[reads & (tape.value == 0)], minlength=count)
    found = [
        int(number)
        for number in flatnonzero((many >= _READS) & (zeros > 0)).tolist()
        if _looks_like_a_cause(tape, register, flatnonzero(nonzero & (register == number)), gaps, usual)
    ]
    return found[0] if len(found) == 1 else None


def _looks_like_a_cause(
    tape: Tape, register: NDArray[np.int64], rows: NDArray[np.intp], gaps: NDArray[np.int64], usual: float
) -> bool:
    number = int(register[rows[0]])
    followers = rows[rows + 1 < len(tape)] + 1
    kinds = register[followers] * 4 + tape.op[followers]
    kind, times = (part[-1] for part in _by_count(kinds))
    if times < _FOLLOWED * len(rows):
        return False
    writes = int(np.count_nonzero((register == number) & (tape.op == Kind.WRITE)))
    if writes - (int(times) if kind == number * 4 + Kind.WRITE else 0) > len(rows) // 4:
        return False
    once = int(np.count_nonzero(_by_count(tape.value[rows].astype(np.int64))[1] == 1))
    return once <= _ONCE * len(rows) and float(np.median(gaps[rows])) > usual


def _by_count(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Different values and how often each occurs, the most frequent last."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(counts, kind="stable")
    return found[order], counts[order].astype(np.int64)
