"""A register that changes by itself."""

from __future__ import annotations

from mmiotools.models.kinds.base import Model


class Volatile(Model):
    """Reads `reset`, which it gave most often, for want of better: no other kind gets even half of its reads right."""

    kind = "volatile"
    title = "Changes by itself; no recorded access tells when, or to what."
