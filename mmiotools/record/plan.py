"""What is to be recorded: driver, card, seed and failures, from words on the command line or from a scenario file."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmiotools.devices import make_device
from mmiotools.drivers import Chosen, choose_driver
from mmiotools.engine.interface import Device
from mmiotools.engine.kernel import FAILABLE
from mmiotools.errors import UsageError
from mmiotools.trace.pyfile import is_python_file

#: The keys of a scenario file, and what each must be.
SCENARIO_KEYS: dict[str, tuple[type, str]] = {
    "driver": (str, "a string"),
    "card": (str, "a string"),
    "seed": (int, "a whole number"),
    "fail": (dict, "a table"),
}

_MAX_ERRNO = 4095


@dataclass(frozen=True, slots=True)
class Plan:
    """A recording that can be made.

    card      the word for the device: a model's name, or a Python file
    fail      kernel call → negative errno that it returns instead of working
    scenario  the file that the plan came from, as the user named it
    """

    chosen: Chosen
    card: str
    seed: int = 0
    fail: Mapping[str, int] = field(default_factory=dict)
    scenario: str | None = None

    def device(self) -> Device:
        """A new device for one run."""
        return make_device(self.card)

    def meta(self) -> dict[str, Any]:
        """What the recording says about itself: JSON fit, and enough to make it again."""
        described: dict[str, Any] = {
            "driver": self.chosen.driver.name,
            "driver_version": self.chosen.version,
            "card": self.card,
            "options": {"fail": dict(self.fail)} if self.fail else {},
            "seed": self.seed,
            "scenario": self.scenario,
        }
        if self.chosen.file is not None:
            described["driver_file"] = self.chosen.file
        return described


def make_plan(
    word: str, *, card: str | None = None, seed: int | None = None, fail: Mapping[str, int] | None = None
) -> Plan:
    """The plan for DRIVER or SCENARIO.toml; what is given beside it wins over the scenario. Raises UsageError."""
    scenario = None
    if word.endswith(".toml"):
        scenario = word
        held = read_scenario(word)
        word = held["driver"]
        card = held.get("card") if card is None else card
        seed = held.get("seed") if seed is None else seed
        fail = {**held.get("fail", {}), **(fail or {})}
    for name in fail or {}:
        check_call(name)
    chosen = choose_driver(word)
    if card is None:
        card = getattr(chosen.driver, "device", None)
        if not card:
            raise UsageError(f"driver '{word}' does not say which card it is for: give --card")
    return Plan(chosen, card, seed or 0, dict(fail or {}), scenario)


def read_scenario(path: str) -> dict[str, Any]:
    """The checked contents of a scenario file; Python files in it are relative to it. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            held = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not valid TOML: {error}") from error
    for key, value in held.items():
        if key not in SCENARIO_KEYS:
            raise UsageError(f"{path}: unknown key '{key}'; there are: {', '.join(SCENARIO_KEYS)}")
        wanted, words = SCENARIO_KEYS[key]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise UsageError(f"{path}: key '{key}' must be {words}")
    if "driver" not in held:
        raise UsageError(f"{path}: key 'driver' is missing")
    for key in ("driver", "card"):
        if key in held and is_python_file(held[key].rpartition("@")[0] or held[key]):
            held[key] = str(Path(path).parent / held[key])
    fail = {}
    for name, value in held.get("fail", {}).items():
        try:
            check_call(name)
            fail[name] = parse_errno(value)
        except UsageError as error:
            raise UsageError(f"{path}: key 'fail.{name}': {error}") from error
    return held | {"fail": fail}


def check_call(name: str) -> None:
    """Nothing, or UsageError when no kernel call of this name can be made to fail."""
    if name not in FAILABLE:
        raise UsageError(f"'{name}' cannot be made to fail; one of: {', '.join(FAILABLE)}")


def parse_errno(value: object) -> int:
    """A negative errno from -5, 5, "5", "EIO" or "-EIO". Raises UsageError."""
    number = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = abs(value)
    elif isinstance(value, str):
        name = value.strip().removeprefix("-")
        number = int(name) if name.isdecimal() and name.isascii() else getattr(errno, name, None)
    if not isinstance(number, int) or not 0 < number <= _MAX_ERRNO:
        raise UsageError(f"'{value}' is no errno: give a number from 1 to {_MAX_ERRNO} or a name like EIO")
    return -number


def parse_failure(word: str) -> tuple[str, int]:
    """("pci_enable_device", -5) from "pci_enable_device=-5" or "pci_enable_device=EIO". Raises UsageError."""
    name, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"'{word}': give it as CALL=ERRNO")
    check_call(name)
    return name, parse_errno(value)
