"""Emulated hardware: one file a model, named by the word the user types."""

from __future__ import annotations

from collections.abc import Callable

from mmiotools.engine.interface import Device
from mmiotools.trace.registry import Registry

DEVICES: Registry[Callable[[], Device]] = Registry(
    "device",
    {"nv-card": "mmiotools.devices.nv_card:NvCard"},
    group="mmiotools.devices",
)
