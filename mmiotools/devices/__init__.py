"""Emulated hardware: one file a model, named by the word the user types."""

from __future__ import annotations

from collections.abc import Callable

from mmiotools.engine.interface import Device
from mmiotools.errors import UsageError
from mmiotools.trace.pyfile import is_python_file, load_attribute
from mmiotools.trace.registry import Registry

DEVICES: Registry[Callable[[], Device]] = Registry(
    "device",
    {
        "nv-card": "mmiotools.devices.nv_card:NvCard",
        "uart": "mmiotools.devices.uart:Uart",
        "nic": "mmiotools.devices.nic:Nic",
        "block": "mmiotools.devices.block:Block",
    },
    group="mmiotools.devices",
)


def make_device(word: str) -> Device:
    """A new device: a model by name, or the DEVICE (a class, or a function that makes one) of a Python file.

    A file is run only because the user typed its name. Raises UsageError.
    """
    if not is_python_file(word):
        return DEVICES.get(word)()
    factory = load_attribute(word, "DEVICE", "device")
    if not callable(factory):
        raise UsageError(f"{word}: its DEVICE cannot be called")
    try:
        device: Device = factory()
    except Exception as error:  # the user's own code may fail in any way
        raise UsageError(f"{word}: its DEVICE cannot be made: {error!r}") from error
    return device
