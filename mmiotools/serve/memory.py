"""Memory of a guest, as far as it shares it with us: parts of files, mapped, at bus addresses."""

from __future__ import annotations

import bisect
import mmap
import os

from mmiotools.errors import ProtocolError
from mmiotools.typed import NamedTuple

#: Parts that a guest may share; each is a mapping of this process, of which Linux allows 65,530.
MAX_PARTS = 16384

_TOP = 1 << 64


class _Part(NamedTuple):
    """`size` bytes at `address`; `file` None for memory that is there but not shared."""

    address: int
    size: int
    file: mmap.mmap | None
    #: Of the part's first byte in the mapping, and of the mapping's first byte in the file.
    skip: int
    base: int
    writable: bool


class GuestMemory:
    """Reads and stores at bus addresses. What is not shared reads as all ones, and stores to it are dropped.

    outside  accesses that were not, or not wholly, to shared memory
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self.outside = 0

    def __len__(self) -> int:
        return len(self._parts)

    def map(self, address: int, size: int, fd: int | None, offset: int = 0, writable: bool = True) -> None:
        """Memory of `size` bytes is at `address`: the file's from `offset` on. The descriptor stays the caller's.

        Raises ProtocolError for what overlaps, lies outside the address space or the file, or cannot be mapped.
        """
        if size <= 0 or address < 0 or address + size > _TOP:
            raise ProtocolError(f"memory of {size:#x} bytes at {address:#x} is outside the address space")
        at = self._after(address)
        before = self._parts[at - 1] if at else None
        behind = self._parts[at] if at < len(self._parts) else None
        if (before and before.address + before.size > address) or (behind and behind.address < address + size):
            raise ProtocolError(f"memory of {size:#x} bytes at {address:#x} overlaps what was shared before")
        if len(self._parts) >= MAX_PARTS:
            raise ProtocolError(f"more than {MAX_PARTS} parts of memory were shared")
        if fd is None:
            self._parts.insert(at, _Part(address, size, None, 0, 0, False))
            return
        skip = offset % mmap.ALLOCATIONGRANULARITY
        base = offset - skip
        # Beyond the end of its file, a mapping is a trap.
        if offset < 0 or offset + size > _length(fd):
            raise ProtocolError(f"memory at {address:#x} lies beyond the end of the file that was sent for it")
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        try:
            mapped = mmap.mmap(fd, size + skip, mmap.MAP_SHARED, access, offset=base)
        except (OSError, ValueError, OverflowError) as error:
            raise ProtocolError(f"memory at {address:#x} cannot be mapped: {error}") from error
        self._parts.insert(at, _Part(address, size, mapped, skip, base, writable))

    def unmap(self, address: int, size: int) -> bool:
        """Forget parts that lie in the range; False when it has none, or would cut one in two."""
        first = self._after(address)
        if first and self._parts[first - 1].address == address:
            first -= 1
        elif first and self._parts[first - 1].address + self._parts[first - 1].size > address:
            return False
        last = first
        while last < len(self._parts) and self._parts[last].address < address + size:
            last += 1
        gone = self._parts[first:last]
        if not gone or gone[-1].address + gone[-1].size > address + size:
            return False
        del self._parts[first:last]
        _close(gone)
        return True

    def clear(self) -> None:
        """Nothing is shared any more."""
        gone, self._parts = self._parts, []
        _close(gone)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a bus address."""
        found = bytearray(b"\xff") * size
        for part, at, start, count in self._pieces(address, size, False):
            assert part.file is not None
            found[start : start + count] = part.file[at : at + count]
        return bytes(found)

    def write(self, address: int, data: bytes) -> None:
        """Store bytes at a bus address."""
        for part, at, start, count in self._pieces(address, len(data), True):
            assert part.file is not None
            part.file[at : at + count] = data[start : start + count]

    def _pieces(self, address: int, size: int, store: bool) -> list[tuple[_Part, int, int, int]]:
        """(part, place in its mapping, place in the data, bytes) for what of a range can be had."""
        found = []
        have = 0
        at = max(self._after(address) - 1, 0)
        while at < len(self._parts) and self._parts[at].address < address + size:
            part = self._parts[at]
            at += 1
            low, high = max(address, part.address), min(address + size, part.address + part.size)
            if low >= high or part.file is None or (store and not part.writable):
                continue
            place = part.skip + low - part.address
            # The peer may have cut its file short since.
            if part.base + place + high - low <= part.file.size():
                found.append((part, place, low - address, high - low))
                have += high - low
        self.outside += have < size
        return found

    def _after(self, address: int) -> int:
        return bisect.bisect_right(self._parts, address, key=lambda part: part.address)


def _length(fd: int) -> int:
    try:
        return os.fstat(fd).st_size
    except OSError as error:
        raise ProtocolError(f"a file descriptor that was sent is of no use: {error}") from error


def _close(parts: list[_Part]) -> None:
    for part in parts:
        if part.file is not None:
            part.file.close()
