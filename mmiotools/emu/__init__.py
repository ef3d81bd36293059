"""Machine code as a front end of the fault engine: drivers compiled from C run on an emulated CPU.

Needs the packages of the [emu] extra, which are imported when a driver is loaded, and not before.
"""

from __future__ import annotations

from importlib.util import find_spec

from mmiotools.engine.interface import Driver
from mmiotools.errors import UsageError

#: What the [emu] extra brings.
PACKAGES = ("unicorn", "iced_x86", "elftools")


def is_object_file(word: str) -> bool:
    """Whether a word on the command line names an object file rather than a plug-in."""
    return word.endswith(".o")


def missing_packages() -> list[str]:
    """Those of `PACKAGES` that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def load_driver(path: str) -> Driver:
    """The driver in an object file. Raises UsageError, also for a missing extra; nothing of it is run yet."""
    if missing_packages():
        raise UsageError("machine code needs the [emu] extra: pip install 'mmiotools[emu]'")
    from mmiotools.emu.driver import ObjectDriver

    return ObjectDriver(path)
