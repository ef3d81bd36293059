"""Kinds of register models: one file a kind or two, named as the card file names them."""

from __future__ import annotations

from mmiotools.models.kinds.base import History, Model, Since
from mmiotools.models.kinds.clearing import Clearing, ReadClearing
from mmiotools.models.kinds.constant import Constant
from mmiotools.models.kinds.counter import Counter
from mmiotools.models.kinds.fifo import Fifo
from mmiotools.models.kinds.indexed import Indexed, Status
from mmiotools.models.kinds.poll import Poll
from mmiotools.models.kinds.shift import Shift
from mmiotools.models.kinds.storage import Storage
from mmiotools.models.kinds.volatile import Volatile

#: The simplest first: of models that are as good, the first one is taken.
KINDS: dict[str, type[Model]] = {
    kind.kind: kind
    for kind in (
        Constant,
        Storage,
        Clearing,
        ReadClearing,
        Status,
        Indexed,
        Poll,
        Shift,
        Fifo,
        Counter,
        Volatile,
    )
}

__all__ = ["KINDS", "History", "Model", "Since"]
