"""How a machine is built and traced: kind, CPUs, policy, quirks, and the circumstances that bring old bugs out."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.engine.kmmio import EMULATE, POLICIES, STEP, STOP_THE_WORLD
from mmiotools.engine.mmu import Paging, choose_paging
from mmiotools.engine.quirks import COMPATS, FIXED, SEED, Quirks, choose_quirks
from mmiotools.errors import UsageError
from mmiotools.typed import Any, Mapping

#: What can be said for the engine: a policy, or that nothing is probed.
OFF = "off"
ENGINES = (*POLICIES, OFF)

#: Short words for what ENGINES spells out.
SHORT = {"stw": STOP_THE_WORLD}

MAX_CPUS = 64


@dataclass(frozen=True, slots=True)
class Setup:
    """A machine and its tracer, as the user may ask for it. None stands for what `compat` implies.

    machine     "i386" or "x86_64"; the patch of 2007 was for the first
    cpus        1 to 64
    engine      a policy of the fault engine, or "off"; the kernels of 2007 and today step
    compat      whose defects the engine has, with `quirks` on and `no_quirks` off
    directories     "synced", or "lazy": processes get new kernel directory entries when they fault on them
    large_pages     ioremap uses 2 or 4 MiB pages where it can; x86_64 does
    only        ranges (first, last) of physical addresses to probe; empty for all mappings
    """

    machine: str | None = None
    cpus: int = 1
    engine: str | None = None
    compat: str = FIXED
    quirks: tuple[str, ...] = ()
    no_quirks: tuple[str, ...] = ()
    directories: str = "synced"
    large_pages: bool | None = None
    only: tuple[tuple[int, int], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.compat not in COMPATS:
            raise UsageError(f"no compatibility mode is called '{self.compat}'; there are: {', '.join(COMPATS)}")
        choose_paging(self.kind)
        if self.policy not in ENGINES:
            raise UsageError(f"no engine is called '{self.engine}'; there are: {', '.join(ENGINES)}")
        if not 1 <= self.cpus <= MAX_CPUS:
            raise UsageError(f"a machine has 1 to {MAX_CPUS} CPUs, not {self.cpus}")
        if self.directories not in ("synced", "lazy"):
            raise UsageError(f"directories are 'synced' or 'lazy', not '{self.directories}'")
        self.chosen_quirks()

    @property
    def kind(self) -> str:
        """The machine's name."""
        return self.machine or ("i386" if self.compat == SEED else "x86_64")

    @property
    def paging(self) -> Paging:
        """How it pages."""
        return choose_paging(self.kind)

    @property
    def policy(self) -> str:
        """The engine's policy, or "off"."""
        engine = self.engine or (EMULATE if self.compat == FIXED else STEP)
        return SHORT.get(engine, engine)

    @property
    def large(self) -> bool:
        """Does ioremap use large pages?"""
        return self.kind == "x86_64" if self.large_pages is None else self.large_pages

    def chosen_quirks(self) -> Quirks:
        """The defects that are on. Raises UsageError."""
        return choose_quirks(self.compat, self.quirks, self.no_quirks)

    def meta(self) -> dict[str, Any]:
        """What is not as it is by default, JSON fit, for `from_options`. Not `only`, which depends on the card."""
        default = Setup()
        told = {name: getattr(self, name) for name in OPTIONS if getattr(self, name) != getattr(default, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Setup:
        """From a table with some of the keys of OPTIONS; others are not looked at. Raises UsageError."""
        known: dict[str, Any] = {}
        for name, (wanted, words) in OPTIONS.items():
            value = options.get(name)
            if value is None:
                continue
            fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
            if wanted is list:
                fits = fits and all(isinstance(item, str) for item in value)
                value = tuple(value) if fits else value
            if not fits:
                raise UsageError(f"key '{name}' must be {words}")
            known[name] = value
        return cls(**known)


#: The fields of a setup that can be said by name, in a scenario or in a trace's header, and what each must be.
OPTIONS: dict[str, tuple[type, str]] = {
    "machine": (str, "a string"),
    "cpus": (int, "a whole number"),
    "engine": (str, "a string"),
    "compat": (str, "a string"),
    "quirks": (list, "a list of strings"),
    "no_quirks": (list, "a list of strings"),
    "directories": (str, "a string"),
    "large_pages": (bool, "true or false"),
}
