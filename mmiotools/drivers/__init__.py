"""Bundled drivers: small programs that poke a device through the emulated kernel's API."""

from __future__ import annotations

from inspect import isfunction
from pathlib import Path

from mmiotools.emu import is_object_file, load_driver
from mmiotools.engine.interface import Driver
from mmiotools.errors import UsageError
from mmiotools.trace.pyfile import is_python_file, load_attribute
from mmiotools.trace.registry import API, Registry
from mmiotools.typed import Any, Callable, ClassVar, Mapping, NamedTuple

DRIVERS: Registry[Driver] = Registry(
    "driver",
    {
        "nv-test": "mmiotools.drivers.nv_test:DRIVER",
        "nv-init": "mmiotools.drivers.nv_init:DRIVER",
        "nv-smp": "mmiotools.drivers.nv_smp:DRIVER",
        "uart-hello": "mmiotools.drivers.uart_hello:DRIVER",
        "nic-init": "mmiotools.drivers.nic_init:DRIVER",
        "block-init": "mmiotools.drivers.block_init:DRIVER",
    },
    group="mmiotools.drivers",
)


class Chosen(NamedTuple):
    """A driver, the version of it, and the file that it was loaded from, None for a bundled one."""

    driver: Driver
    version: str
    file: str | None


class _Function:
    """A file with nothing but a probe function: a driver of one version, called as the file is."""

    api: ClassVar[int] = API
    device = ""

    def __init__(self, path: str, probe: Callable[..., Any]) -> None:
        self.name = Path(path).stem
        self.title = f"The probe function of {path}."
        self.versions: Mapping[str, Callable[..., Any]] = {"1": probe}


def is_driver_file(word: str) -> bool:
    """Whether a word names a file with a driver, or a card, in it."""
    return is_python_file(word) or is_object_file(word)


def find_driver(word: str) -> tuple[Driver, str]:
    """A driver and a version from "NAME" or "NAME@VERSION"; without a version it is "1"."""
    name, _, version = word.partition("@")
    return _with_version(DRIVERS.get(name), f"driver '{name}'", version)


def choose_driver(word: str) -> Chosen:
    """A bundled driver by name, a Python file with a DRIVER or a function `probe`, or an object file:
    "NAME[@VERSION]" or "FILE[@VERSION]".

    Only for words that the user typed: a file is run by this. Raises UsageError.
    """
    path, at, version = word.rpartition("@")
    if not (at and is_driver_file(path)):
        path, version = word, ""
    if not is_driver_file(path):
        return Chosen(*find_driver(word), None)
    if is_object_file(path):
        return Chosen(*_with_version(load_driver(path), path, version), path)
    driver = load_attribute(path, "DRIVER", "driver", "probe")
    if isfunction(driver):
        driver = _Function(path, driver)
    for attribute in ("name", "versions"):
        if not getattr(driver, attribute, None):
            raise UsageError(f"{path}: its DRIVER has no {attribute}")
    return Chosen(*_with_version(driver, path, version), path)


def _with_version(driver: Driver, what: str, version: str) -> tuple[Driver, str]:
    version = version or "1"
    if version not in driver.versions:
        raise UsageError(f"{what} has no version '{version}'; there are: {', '.join(driver.versions)}")
    return driver, version
