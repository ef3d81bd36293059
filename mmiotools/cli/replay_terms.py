"""The options of `replay` that say how the mock card answers."""

from __future__ import annotations

from dataclasses import dataclass

import click

from mmiotools.cli.common import Run, load_regs
from mmiotools.cli.options import F, regs_option
from mmiotools.engine.inject import Tally
from mmiotools.errors import UsageError
from mmiotools.filters.masks import read_all
from mmiotools.models.cardfile import read_card
from mmiotools.replay import DEFAULT, POLICIES
from mmiotools.replay.entries import AUTO
from mmiotools.replay.settings import WINDOW, Settings, parse_timing
from mmiotools.typed import Any, Callable, Sequence


def complete_policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of policies."""
    return [name for name in POLICIES.names() if name.startswith(incomplete)]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--policy",
        metavar="NAME",
        default=DEFAULT,
        show_default=True,
        shell_complete=complete_policies,
        help="How recorded accesses answer the driver's (see `mmiotools list policies`).",
    ),
    click.option(
        "--window",
        type=click.IntRange(min=1),
        metavar="N",
        default=WINDOW,
        show_default=True,
        help="Policy window: recorded accesses, not yet done, that an access is looked for in.",
    ),
    click.option(
        "--timing",
        metavar="none|recorded|scaled=X",
        help="Whether waits, interrupts, and accesses to a device of QEMU's take their recorded time, or X times that. "
        "If not given: recorded for a device of QEMU's, else none.",
    ),
    click.option(
        "--irq",
        multiple=True,
        metavar="REGISTER|auto|none",
        default=(AUTO,),
        help="The register that interrupt handlers read first, as in BAR0+0xc0, 'ICR & 0x4' or 'write INTMS'; "
        "repeatable. Found out if not given.",
    ),
    click.option(
        "--fuzz",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        help="Accesses that may be extra, missed or differing before the replay has diverged.",
    ),
    click.option("--mask", multiple=True, metavar="FILE", type=click.Path(), help="Registers and bits to set aside."),
    click.option(
        "--ignore", multiple=True, metavar="PLACE", help="Registers to set aside altogether, as in BAR0+0x100-0x1ff."
    ),
    regs_option,
    click.option(
        "--card",
        "cards",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="Policy model: register models from a card file (see mmiotools-learn(1)) instead of learned ones. "
        "Repeatable, the first wins.",
    ),
)


def terms_options(function: F) -> F:
    """All options of `Terms`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def tell_rules(run: Run, tally: Sequence[Tally]) -> None:
    """Say which rules of fault injection came to nothing."""
    for rule in tally:
        if not rule.acted:
            times = f"{rule.matched} time{'s' * (rule.matched != 1)}"
            what = f"matched {times}, never acted" if rule.matched else "matched nothing"
            run.say(f"inject: {what}: {rule.text}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the options say; a field an option. Raises UsageError."""

    policy: str
    window: int
    timing: str | None
    irq: tuple[str, ...]
    fuzz: int
    mask: tuple[str, ...]
    ignore: tuple[str, ...]
    regs: tuple[str, ...]
    cards: tuple[str, ...]

    def __post_init__(self) -> None:
        POLICIES.get(self.policy)
        parse_timing(self.timing or "none")
        if self.cards and self.policy != "model":
            raise UsageError("--card needs --policy model")

    @property
    def settings(self) -> Settings:
        """Of policy and interrupts."""
        return Settings(self.window, parse_timing(self.timing or "none"), tuple(map(read_card, self.cards)))

    @property
    def pace(self) -> float:
        """By what recorded times are multiplied for a device of QEMU's; 0 for no time between accesses."""
        return parse_timing(self.timing or "recorded").scale or 0.0

    def comparison(self, run: Run) -> dict[str, Any]:
        """What counts, and how it is called: arguments of `apply_to`. Raises UsageError and FormatError."""
        names = load_regs(run, self.regs)
        return {"names": names, "masks": read_all(self.mask, self.ignore, names), "fuzz": self.fuzz}

    def card(self, compared: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `mock_card` but for tape and function: some of `comparison`, and how the card answers."""
        held = {name: value for name, value in compared.items() if name != "fuzz"}
        return held | {"policy": self.policy, "settings": self.settings, "irq": self.irq}
