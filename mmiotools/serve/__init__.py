"""What speaks with the world outside: QEMU as a process, and the protocols by which it and the mock card meet."""

from __future__ import annotations

from mmiotools.serve.loop import Transport
from mmiotools.trace.registry import Registry

#: Ways to let others use a card, by the word that --serve takes.
TRANSPORTS: Registry[Transport] = Registry(
    "transport",
    {
        "vfio-user": "mmiotools.serve.vfio_user:VfioUser",
        "mpqemu": "mmiotools.serve.mpqemu:Mpqemu",
    },
)
