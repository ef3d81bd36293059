"""The ways to show a comparison, by the word that `--view` takes."""

from __future__ import annotations

from mmiotools.diff.views.base import Options, View
from mmiotools.trace.registry import Registry

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

__all__ = ["DEFAULT", "VIEWS", "Options", "View"]
