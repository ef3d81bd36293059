"""The exceptions of the package. Each class owns the exit status that the command line ends with.

Nothing here prints; `mmiotools.cli.main` is the one place that turns an exception into a line and a status.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_DIFFERENT = 1
EXIT_USAGE = 2
EXIT_DAMAGED = 3
EXIT_INTERRUPTED = 130

#: When several statuses apply, the first of these wins.
EXIT_PRECEDENCE = (EXIT_INTERRUPTED, EXIT_USAGE, EXIT_DAMAGED, EXIT_DIFFERENT, EXIT_OK)


def combine(*statuses: int) -> int:
    """The exit status that wins when several apply (130, then 2, then 3, then 1, then 0)."""
    return next(status for status in EXIT_PRECEDENCE if status in statuses or status == EXIT_OK)


class MmioToolsError(Exception):
    """Base of every error that a user may meet: one line that says what is wrong and what to do.

    has_lines  whether it explains in several lines, none of which quotes anybody
    """

    status = EXIT_USAGE
    has_lines = False

    def __str__(self) -> str:
        # It may quote an input of any length, with anything in it.
        text = super().__str__()
        if not (text.isprintable() or self.has_lines):
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return text if len(text) <= 1000 else f"{text[:500]} … {text[-400:]}"


class UsageError(MmioToolsError):
    """The request cannot be carried out as asked: bad option, missing file, missing extra."""


class FormatError(MmioToolsError):
    """The input is in no known format or version, or is empty."""


class NotATrace(FormatError):
    """The input is empty, or is in no format that is known."""


class ExpressionError(MmioToolsError):
    """A filter expression or an address that cannot be understood.

    `column` is the 0-based position in `text` that the message points at.
    """

    def __init__(self, message: str, text: str = "", column: int = 0) -> None:
        super().__init__(message)
        self.text = text
        self.column = column

    def __str__(self) -> str:
        message = super().__str__()
        if not self.text:
            return message
        start = max(0, self.column - 50)
        clip = self.text[start : start + 100].expandtabs(1)
        return f"{message} (column {self.column + 1})\n  {clip}\n  {' ' * (self.column - start)}^"


class TargetCannotHold(MmioToolsError):
    """With --strict: the output format cannot hold something that the input has."""


class DriverError(MmioToolsError):
    """A bundled or user driver raised, or touched memory it may not touch. The trace so far is kept."""


class ProtocolError(MmioToolsError):
    """Who uses a served card sent a message that makes no sense; it is served no longer. The report so far is kept."""


class QemuError(MmioToolsError):
    """A QEMU that we started has ended, refuses, or does not answer. What was found until then is kept."""


class EngineFailure(MmioToolsError):
    """The traced machine came to grief through the fault engine, not through the driver. The trace so far is kept.

    `quirk` is the name of the defect that did it, where it is known.
    """

    status = EXIT_DIFFERENT
    has_lines = True

    def __init__(self, message: str, quirk: str | None = None) -> None:
        super().__init__(message)
        self.quirk = quirk


class RecursiveFault(EngineFailure):
    """The same instruction faults again and again although its page was made present."""


class Deadlock(EngineFailure):
    """Every CPU waits for a lock that nobody will release."""
