"""A register that always reads the same."""

from __future__ import annotations

from mmiotools.models.kinds.base import History, Model
from mmiotools.typed import Iterator


class Constant(Model):
    """Reads `reset`, whatever is written."""

    kind = "constant"
    title = "Reads the same whatever is written."

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """The commonest value."""
        yield cls(history.place, history.mode)
