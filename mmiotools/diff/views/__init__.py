"""The ways to show a comparison, by the word that `--view` takes."""

from __future__ import annotations

from mmiotools.trace.registry import Registry
from mmiotools.typed import TYPE_CHECKING

if TYPE_CHECKING:
    # The names are asked for where numpy is not wanted.
    from mmiotools.diff.views.base import View

VIEWS: Registry[type[View]] = Registry(
    "view",
    {
        "unified": "mmiotools.diff.views.unified:Unified",
        "side-by-side": "mmiotools.diff.views.side_by_side:SideBySide",
        "registers": "mmiotools.diff.views.registers:Registers",
        "state": "mmiotools.diff.views.state:State",
        "stat": "mmiotools.diff.views.stat:Stat",
        "summary": "mmiotools.diff.views.summary:Summary",
        "json": "mmiotools.diff.views.json:Json",
        "html": "mmiotools.diff.views.html:Html",
    },
)

DEFAULT = "unified"
