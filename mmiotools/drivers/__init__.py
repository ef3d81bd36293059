"""Bundled drivers: small programs that poke a device through the emulated kernel's API."""

from __future__ import annotations

from mmiotools.engine.interface import Driver
from mmiotools.errors import UsageError
from mmiotools.trace.registry import Registry

DRIVERS: Registry[Driver] = Registry("driver", {"nv-test": "mmiotools.drivers.nv_test:DRIVER"})


def find_driver(word: str) -> tuple[Driver, str]:
    """A driver and a version from "NAME" or "NAME@VERSION"; without a version it is "1"."""
    name, _, version = word.partition("@")
    driver = DRIVERS.get(name)
    version = version or "1"
    if version not in driver.versions:
        raise UsageError(f"driver '{name}' has no version '{version}'; there are: {', '.join(driver.versions)}")
    return driver, version
