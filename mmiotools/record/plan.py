"""What is to be recorded: driver, card, seed and failures, from words on the command line or from a scenario file."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmiotools.devices import make_device
from mmiotools.devices.storage import ConfigSpace
from mmiotools.drivers import Chosen, choose_driver, is_driver_file
from mmiotools.engine.inject import Injector
from mmiotools.engine.inject_names import spell_range, spell_rule
from mmiotools.engine.inject_rules import locate_ranges, parse_range, parse_rule, parse_rules
from mmiotools.engine.interface import Device
from mmiotools.engine.pci import FAILABLE
from mmiotools.engine.setup import OPTIONS, Setup
from mmiotools.errors import ExpressionError, UsageError
from mmiotools.trace.names import Names
from mmiotools.trace.tomlfile import read_toml
from mmiotools.typed import Any, Iterable, Mapping, NamedTuple, Sequence

#: The keys of a scenario file besides those of `engine.setup.OPTIONS`, and what each must be.
SCENARIO_KEYS: dict[str, tuple[type, str]] = {
    "title": (str, "a string"),
    "driver": (str, "a string"),
    "card": (str, "a string"),
    "seed": (int, "a whole number"),
    "fail": (dict, "a table"),
    "inject": (list, "a list of strings"),
    "probe": (list, "a list of strings"),
}

_BUNDLED = Path(__file__).parent / "scenarios"

_MAX_ERRNO = 4095


@dataclass(frozen=True, slots=True)
class Plan:
    """A recording that can be made.

    card      the word for the device: a model's name, a Python file, or a card file of `mmiotools learn`
    setup     the machine and its tracer; what it probes is in `probe` and `setup.only`
    fail      kernel call → negative errno that it returns instead of working
    inject    rules of fault injection, with offsets in place of names of registers
    probe     ranges to probe, as the user gave them but for names; empty for all mappings
    scenario  the file that the plan came from, as the user named it, or the name of a bundled one
    """

    chosen: Chosen
    card: str
    seed: int = 0
    setup: Setup = field(default_factory=Setup)
    fail: Mapping[str, int] = field(default_factory=dict)
    inject: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    scenario: str | None = None

    def device(self) -> Device:
        """A new device for one run, with the injector around it if there are rules. Raises UsageError."""
        device = make_card(self.card)
        return Injector(device, parse_rules(self.inject), self.seed) if self.inject else device

    def setup_for(self, device: Device) -> Setup:
        """The setup, with the ranges to probe as addresses of this device. Raises ExpressionError."""
        return replace(self.setup, only=tuple(locate_ranges(self.probe, device.pci)))

    def meta(self) -> dict[str, Any]:
        """What the recording says about itself: JSON fit, and enough to make it again."""
        options: dict[str, Any] = self.setup.meta()
        if self.fail:
            options["fail"] = dict(self.fail)
        if self.inject:
            options["inject"] = list(self.inject)
        if self.probe:
            options["probe"] = list(self.probe)
        described: dict[str, Any] = {
            "driver": self.chosen.driver.name,
            "driver_version": self.chosen.version,
            "card": self.card,
            "options": options,
            "seed": self.seed,
            "scenario": self.scenario,
        }
        if self.chosen.file is not None:
            described["driver_file"] = self.chosen.file
        return described


def make_plan(
    word: str | None,
    *,
    scenario: str | None = None,
    card: str | None = None,
    seed: int | None = None,
    fail: Mapping[str, int] | None = None,
    inject: Sequence[str] = (),
    probe: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    names: Names | None = None,
) -> Plan:
    """The plan for DRIVER or SCENARIO.toml; what is given beside it wins over the scenario, or adds to it.

    scenario    the name of a bundled scenario, or a file, under a driver that may be another
    options     keys of `engine.setup.OPTIONS`
    names       of registers, which rules and ranges may then name; the plan has their offsets in place of them

    Raises UsageError and ExpressionError.
    """
    if word is not None and word.endswith(".toml"):
        if scenario is not None:
            raise UsageError(f"two scenarios: {word} and {scenario}")
        word, scenario = None, word
    held: dict[str, Any] = {} if scenario is None else read_scenario(scenario, named=bool(names))
    word = held.get("driver") if word is None else word
    if word is None:
        raise UsageError("say which driver to record, or give a scenario")
    for name in fail or {}:
        check_call(name)
    if not names:
        check_places(inject, probe)
    chosen = choose_driver(word)
    card = card or held.get("card") or getattr(chosen.driver, "device", None)
    if not card:
        raise UsageError(f"driver '{word}' does not say which card it is for: give --card")
    rules, ranges = (*held.get("inject", ()), *inject), (*held.get("probe", ()), *probe)
    if names and (rules or ranges):
        pci = make_card(card).pci
        rules = tuple(spell_rule(text, names, pci) for text in rules)
        ranges = tuple(part for text in ranges for part in spell_range(text, names, pci))
        check_places(rules, ranges)
    return Plan(
        chosen,
        card,
        held.get("seed", 0) if seed is None else seed,
        Setup.from_options({**held, **{name: value for name, value in (options or {}).items() if value}}),
        {**held.get("fail", {}), **(fail or {})},
        rules,
        ranges,
        scenario,
    )


def make_card(word: str) -> Device:
    """A new device: as `make_device` has it, or made of the register models of a card file (.toml).

    Raises UsageError and FormatError.
    """
    if not word.endswith(".toml"):
        return make_device(word)
    from mmiotools.models.cardfile import read_card
    from mmiotools.models.device import ModelDevice

    card = read_card(word)
    return ModelDevice(card, ConfigSpace(card.pci))


class Scenario(NamedTuple):
    """A bundled scenario, for listings."""

    name: str
    title: str


def bundled_scenarios() -> list[Scenario]:
    """The scenarios that `--scenario NAME` knows, by name."""
    return [Scenario(path.stem, read_scenario(str(path))["title"]) for path in sorted(_BUNDLED.glob("*.toml"))]


def check_places(rules: Iterable[str], ranges: Iterable[str]) -> None:
    """Nothing, or ExpressionError when a rule or a range cannot be understood."""
    for text in rules:
        parse_rule(text)
    for text in ranges:
        parse_range(text)


def read_scenario(word: str, *, named: bool = False) -> dict[str, Any]:
    """The checked contents of a scenario file, or of a bundled scenario by its name.

    named  whether rules and ranges may hold names of registers, which are spelled out before they are checked

    Python, object and card files in it are relative to it. Raises UsageError and FormatError.
    """
    path = word
    if not word.endswith(".toml"):
        path = str(_BUNDLED / f"{word}.toml")
        if os.sep in word or not Path(path).is_file():
            names = ", ".join(sorted(file.stem for file in _BUNDLED.glob("*.toml")))
            raise UsageError(f"no scenario is called '{word}'; there are: {names}")
    held = read_toml(path, "scenario")
    for key, value in held.items():
        if key in OPTIONS:
            continue
        if key not in SCENARIO_KEYS:
            raise UsageError(f"{path}: unknown key '{key}'; there are: {', '.join([*SCENARIO_KEYS, *OPTIONS])}")
        wanted, words = SCENARIO_KEYS[key]
        strings = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if not isinstance(value, wanted) or isinstance(value, bool) or not strings:
            raise UsageError(f"{path}: key '{key}' must be {words}")
    if "driver" not in held:
        raise UsageError(f"{path}: key 'driver' is missing")
    for key in ("driver", "card"):
        if key in held and (
            is_driver_file(held[key].rpartition("@")[0] or held[key]) or (key == "card" and held[key].endswith(".toml"))
        ):
            held[key] = str(Path(path).parent / held[key])
    try:
        Setup.from_options(held)
        if not named:
            check_places(held.get("inject", ()), held.get("probe", ()))
    except (UsageError, ExpressionError) as error:
        raise UsageError(f"{path}: {error}") from error
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
