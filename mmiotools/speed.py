"""Which engine does the hot loops: the compiled extension where it was built, else numpy. Both give the same."""

from __future__ import annotations

import os

from mmiotools.errors import UsageError
from mmiotools.small import cache
from mmiotools.typed import ModuleType

#: Of the compiled engine; an older one, left in a checkout, lacks functions.
VERSION = 19
#: What MMIOTOOLS_ENGINE may say.
ENGINES = ("auto", "compiled", "numpy")


@cache
def compiled() -> ModuleType | None:
    """The compiled engine (`compiled/`); None where it was not built, or MMIOTOOLS_ENGINE=numpy does not want it.

    Raises UsageError where MMIOTOOLS_ENGINE=compiled asks for what is not there.
    """
    wanted = os.environ.get("MMIOTOOLS_ENGINE") or "auto"
    if wanted not in ENGINES:
        raise UsageError(f"MMIOTOOLS_ENGINE={wanted}: is none of {', '.join(ENGINES)}")
    if wanted == "numpy":
        return None
    problem = "it was built for another version of mmiotools: install that again"
    try:
        # importlib, which is the usual way, is one more module to import.
        _speed = __import__("mmiotools._speed", fromlist=("VERSION",))
        if getattr(_speed, "VERSION", None) == VERSION:
            return _speed
    except ImportError as error:
        problem = str(error)
    if wanted == "compiled":
        raise UsageError(f"MMIOTOOLS_ENGINE=compiled: the extension was not built: {problem}")
    return None
