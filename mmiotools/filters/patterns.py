"""Regular expressions over bytes, bounded: no pattern that a user types may hang a run."""

from __future__ import annotations

import re
import warnings

#: Longest pattern, and how much of a text is searched, in bytes.
MAX_PATTERN = 1000
MAX_SEARCHED = 1 << 16

_QUANTIFIER = rb"[*+?]|\{\d*(?P<comma>,?)(?P<most>\d*)\}"


def compile_pattern(pattern: bytes) -> re.Pattern[bytes]:
    """The compiled pattern. Raises ValueError when it is wrong, too long, or repeats a group that repeats."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what will mean something else in a later Python
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if _repeats_repetition(pattern):
        raise ValueError("a repeated group that itself repeats may take for ever; write it without the inner one")
    return compiled


def _repeats_repetition(pattern: bytes) -> bool:
    """Whether an unbounded quantifier applies to a group with an unbounded quantifier inside."""
    groups = [False]
    closed: bool | None = None
    quantifiers = re.compile(_QUANTIFIER)
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        quantifier = quantifiers.match(pattern, at)
        if quantifier is not None and not pattern[:at].endswith(b"("):
            unbounded = char in b"*+" or (quantifier["comma"] == b"," and not quantifier["most"])
            if unbounded:
                if closed:
                    return True
                groups[-1] = True
            at = quantifier.end()
            closed = None
            continue
        closed = None
        if char == b"\\":
            at += 2
            continue
        if char == b"[":
            at = _after_class(pattern, at)
            continue
        if char == b"(":
            groups.append(False)
        elif char == b")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1] |= closed
        at += 1
    return False


def _after_class(pattern: bytes, at: int) -> int:
    at += 2 if pattern[at + 1 : at + 2] == b"^" else 1
    first = at
    while at < len(pattern) and (pattern[at : at + 1] != b"]" or at == first):
        at += 2 if pattern[at : at + 1] == b"\\" else 1
    return at + 1
