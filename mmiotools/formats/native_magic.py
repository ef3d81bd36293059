"""How to know a native file: alone, because every input is asked for it before anything else is imported."""

#: What a file, and every block in it, begins with.
MAGIC = b"\x89MMIO\r\n\x1a"
SYNC = b"\x8aMMBLK\r\n"
