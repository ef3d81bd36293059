"""What some writers can besides: have work done elsewhere, or name registers. Apart from base.py, because only who
writes asks for it, and because what an object can is asked with the real `typing`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mmiotools.typed import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.names import Names


@runtime_checkable
class PreparingWriter(Protocol):
    """A writer whose work can be done elsewhere: `prepare` is pure and may run in another process, `accept` takes
    its results in order. The two together do what `write` does.

    joins  whether small batches are as well prepared one by one as together
    """

    joins: ClassVar[bool]

    def prepare(self, batch: Batch) -> Any:
        """What `accept` needs to append the batch; can be pickled."""

    def accept(self, prepared: Any) -> None:
        """Append a batch that was prepared."""


@runtime_checkable
class NamingWriter(Protocol):
    """A writer that names registers. `names` is set before the first batch."""

    names: Names
