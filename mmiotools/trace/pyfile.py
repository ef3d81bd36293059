"""A plug-in from a file that the user names: NAME.py, and one attribute in it. Never run because a trace says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmiotools.errors import UsageError
from mmiotools.typed import Any, Iterable


def is_python_file(word: str) -> bool:
    """Whether a word on the command line names a Python file rather than a plug-in."""
    return word.endswith(".py")


def load_attribute(path: str, attribute: str, noun: str, *others: str) -> Any:
    """What the module at `path` holds under `attribute`, or else under one of `others`.

    Raises UsageError when it cannot be had.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such {noun} file")
    spec = importlib.util.spec_from_file_location(f"mmiotools_{noun}_file", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code may fail in any way
        raise UsageError(f"{path}: cannot be loaded: {error!r}") from error
    for name in (attribute, *others):
        found = getattr(module, name, None)
        if found is not None:
            return found
    raise UsageError(f"{path}: defines no {' and no '.join((attribute, *others))}, so it is no {noun} file")


def make_from_file(path: str, attribute: str, noun: str, needs: Iterable[str]) -> Any:
    """What the class or function makes that the module at `path` holds under `attribute`.

    needs  what it must have to be one, names of attributes
    Raises UsageError.
    """
    factory = load_attribute(path, attribute, noun)
    if not callable(factory):
        raise UsageError(f"{path}: its {attribute} cannot be called")
    try:
        made = factory()
    except Exception as error:  # the user's own code may fail in any way
        raise UsageError(f"{path}: its {attribute} cannot be made: {error!r}") from error
    missing = [name for name in needs if not hasattr(made, name)]
    if missing:
        raise UsageError(f"{path}: its {attribute} has no {' and no '.join(missing)}, so it is no {noun}")
    return made
