"""What a region is called in a hash of an access. Alone, because it is needed where numpy is not."""

from __future__ import annotations

from mmiotools.small import cache
from mmiotools.typed import Any

try:
    # hashlib has the same function, but loads OpenSSL with it, which takes longer than a small trace.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b


@cache
def stable_hash(identity: tuple[Any, ...]) -> int:
    """Of a tuple of words and numbers; the same in every process."""
    return int.from_bytes(blake2b(repr(identity).encode(), digest_size=8).digest(), "little")
