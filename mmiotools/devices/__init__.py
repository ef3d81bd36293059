"""Emulated hardware: one file a model, named by the word the user types."""

from __future__ import annotations

from mmiotools.engine.interface import Device
from mmiotools.trace.pyfile import is_python_file, make_from_file
from mmiotools.trace.registry import Registry
from mmiotools.typed import Callable

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

#: What every device has; the rest of the interface not everybody asks for.
_NEEDS = ("name", "pci", "seen", "attach", "reset", "read", "write")


def make_device(word: str) -> Device:
    """A new device: a model by name, or the DEVICE (a class, or a function that makes one) of a Python file.

    A file is run only because the user typed its name. Raises UsageError.
    """
    if not is_python_file(word):
        return DEVICES.get(word)()
    device: Device = make_from_file(word, "DEVICE", "device", _NEEDS)
    return device
