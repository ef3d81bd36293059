"""How a bundled driver says in what its versions differ, so that tests and documents need not repeat it."""

from __future__ import annotations

from typing import Literal

from mmiotools.typed import NamedTuple


class Difference(NamedTuple):
    """One known difference between two versions, in accesses to BAR0.

    kind   delete: only the older version does it; insert: only the newer; change: both, with another value;
           move: both, at another place
    op     "R" or "W"
    old    value in the older version, None where there is none or where the device chooses it
    new    likewise in the newer version
    times  how often; None where it depends on the device (a poll loop)
    """

    kind: Literal["delete", "insert", "change", "move"]
    op: Literal["R", "W"]
    width: int
    offset: int
    old: int | None = None
    new: int | None = None
    times: int | None = 1
