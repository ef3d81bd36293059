"""Where in a trace a mark stands, counted in accesses, found while the trace passes by."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters.patterns import MAX_SEARCHED
from mmiotools.trace.batch import Batch
from mmiotools.typed import Iterator


class MarkFinder:
    """Looks for the first MARK whose text matches. `found` is the number of accesses before it, None until then."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.found: int | None = None
        self._pattern = pattern

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches."""
        before = 0
        for batch in batches:
            if self.found is None:
                accesses = batch.accesses
                for row in batch.rows(Kind.MARK).tolist():
                    text = batch.extras.get(row, {}).get("text")
                    if text is not None and self._pattern.search(text, 0, MAX_SEARCHED):
                        self.found = before + int(np.count_nonzero(accesses[:row]))
                        break
                before += int(np.count_nonzero(accesses))
            yield batch
