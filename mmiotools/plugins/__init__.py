"""What cards do to memory by themselves: one file a kind of card, named by the word the user types."""

from __future__ import annotations

from mmiotools.engine.interface import Plugin
from mmiotools.trace.pyfile import is_python_file, make_from_file
from mmiotools.trace.registry import Registry
from mmiotools.typed import Callable

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
    plugin: Plugin = make_from_file(word, "PLUGIN", "plugin", ("attach", "reset", "wrote"))
    return plugin
