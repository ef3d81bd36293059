"""Where a stream is cut by marks and times."""

from __future__ import annotations

from mmiotools.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re


class Window(NamedTuple):
    """Where a stream is cut. Each border is included; None is no border.

    from_mark, to_mark  the first MARK that matches, and the first match after it (of any MARK without from_mark)
    first, last         nanoseconds on the trace's clock; an event without a time goes with the one before it
    """

    from_mark: re.Pattern[bytes] | None = None
    to_mark: re.Pattern[bytes] | None = None
    first: int | None = None
    last: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is cut."""
        return self == Window()
