"""numpy, of which the core alone is imported until something asks for more: that takes half as long, and is all that
most commands need.

numpy's own `__init__.py` is carried out at the first name that is not there yet, in the same module and with the parts
that are there already, as if its import had only been slow. So nothing can tell, but for the doc strings of what is
written in C. A numpy that is not built as is expected here is imported whole.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

from mmiotools.typed import Any, ModuleType, Sequence, cast

#: The parts of numpy's core whose public names are numpy's own.
_CORE = ("numeric", "fromnumeric", "function_base", "shape_base", "getlimits")
#: What else something here uses: name → the module it lies in.
_ELSEWHERE = {
    **dict.fromkeys(("bincount", "packbits", "unpackbits"), "numpy._core.multiarray"),
    **dict.fromkeys(("isin", "unique"), "numpy.lib._arraysetops_impl"),
    **dict.fromkeys(("diff", "insert", "iterable", "median"), "numpy.lib._function_base_impl"),
    "tile": "numpy.lib._shape_base_impl",
    "abs": "numpy._core",
    "broadcast_to": "numpy.lib._stride_tricks_impl",
}
#: Modules that the core imports for what it seldom does.
_SELDOM = ("ast", "ctypes", "inspect", "pickle")
#: What does nothing but give doc strings to others, which takes long.
_DOCUMENTATION = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")


def find_numpy() -> ModuleSpec | None:
    """Where numpy is, as a finder of modules says it, to be loaded as above."""
    spec = PathFinder.find_spec("numpy")
    if spec is not None:
        spec.loader = cast(Any, _Loader(spec.loader))
    return spec


class _Loader:
    """Loads the core of numpy; `whole` is what would load all of it."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """See above."""
        # As whoever looks for other files beside the module expects.
        module.__loader__ = self._whole
        if module.__spec__ is not None:
            module.__spec__.loader = self._whole
        try:
            found, lib = _core(), _bare_package("numpy.lib", module.__path__)
        except Exception:
            for name in _DOCUMENTATION:
                sys.modules.pop(name, None)
            self._whole.exec_module(module)
            return
        module.__dict__.update(found)
        sys.modules["numpy.lib"] = lib
        _complete_as_needed(module, self._whole, _ELSEWHERE)


def _core() -> dict[str, Any]:
    """The names of numpy that are its core's. Raises anything where that is not what it is expected to be."""
    # Its first lines; the core asks for them.
    names = vars(import_module("numpy._globals"))
    found = {name: names[name] for name in ("_CopyMode", "_NoValue")}
    vars(sys.modules["numpy"]).update(found)
    # numpy's C code imports it, and would take a Ctrl-C meanwhile for its being broken.
    import_module("datetime")
    for name in _DOCUMENTATION:
        sys.modules[name] = ModuleType(name)
    with _postponed(_SELDOM):
        core = import_module("numpy._core")
    # Its last lines: large arrays have large pages.
    core.multiarray._set_madvise_hugepage(int(os.environ.get("NUMPY_MADVISE_HUGEPAGE", "1")))
    for part in _CORE:
        found |= {name: getattr(core, name) for name in getattr(core, part).__all__}
    return found


class _Later(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _postponed:
    """A context in which modules that are not there yet are imported as such. The signatures and the indents of doc
    strings, which `inspect` would find out for each function of numpy, are left for who wants to know.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._made = {name: _Later(name) for name in names if name not in sys.modules}

    def __enter__(self) -> None:
        for name, module in self._made.items():
            if name == "inspect":
                vars(module).update(signature=lambda function: None, cleandoc=lambda text: text)
            sys.modules[name] = module

    def __exit__(self, *error: object) -> None:
        for name, module in self._made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _bare_package(name: str, path: Sequence[str]) -> ModuleType:
    """A package whose modules can be imported, which is carried out itself when another name of it is asked for."""
    from importlib.util import module_from_spec  # numpy's core has imported what this does

    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    _complete_as_needed(module, spec.loader, {})
    return module


def _complete_as_needed(module: ModuleType, loader: Any, elsewhere: dict[str, str]) -> None:
    """Have a name that a module lacks taken from `elsewhere`; or else, all of the module carried out."""
    lock = RLock()
    begun = False

    def missing(name: str) -> Any:
        nonlocal begun
        with lock:
            if name in elsewhere and not begun:
                return module.__dict__.setdefault(name, getattr(import_module(elsewhere[name]), name))
            if not begun:
                begun = True
                loader.exec_module(module)
            elif name not in module.__dict__:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}", name=name, obj=module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = missing
