"""What cards do to memory by themselves: one file a kind of card, named by the word the user types."""

from __future__ import annotations

from collections.abc import Callable

from mmiotools.engine.interface import Plugin
from mmiotools.errors import UsageError
from mmiotools.trace.pyfile import is_python_file, load_attribute
from mmiotools.trace.registry import Registry

PLUGINS: Registry[Callable[[], Plugin]] = Registry(
    "plugin",
    {
        "e1000-dma": "mmiotools.plugins.e1000_dma:E1000Dma",
    },
    group="mmiotools.plugins",
)


def make_plugin(word: str) -> Plugin:
    """A new plugin: one by name, or the PLUGIN (a class, or a function that makes one) of a Python file.

    A file is run only because the user typed its name. Raises UsageError.
    """
    if not is_python_file(word):
        return PLUGINS.get(word)()
    factory = load_attribute(word, "PLUGIN", "plugin")
    if not callable(factory):
        raise UsageError(f"{word}: its PLUGIN cannot be called")
    try:
        plugin: Plugin = factory()
    except Exception as error:  # the user's own code may fail in any way
        raise UsageError(f"{word}: its PLUGIN cannot be made: {error!r}") from error
    return plugin
