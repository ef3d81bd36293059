"""How many events a worker is given at a time, where most of them are only looked at."""

from __future__ import annotations

from mmiotools.formats.parallel import workers_wanted

#: So many times as many events as usual are the most.
_MOST = 4
#: As many pieces each worker gets at least, where these are not small anyway: none is to be done long before others.
_SHARES = 8


class Pace:
    """The fewer of the events are kept, the more of them make a piece: to give and to take it costs as much as to read
    some blocks, and what is kept has to be held.
    """

    def __init__(self, usual: int, total: int) -> None:
        """`usual` events are a piece where all of them may be kept; `total` there are to look at."""
        self._usual = usual
        self._share = min(_MOST * usual, total // (_SHARES * max(workers_wanted(), 1)))
        self._seen = self._kept = 0

    def saw(self, events: int, kept: int) -> None:
        """What became of some."""
        self._seen += events
        self._kept += kept

    def events(self) -> int:
        """Of the next piece."""
        few = self._usual * self._seen // (2 * self._kept + 1)
        return max(self._usual, min(few, self._share))
