"""The interrupt lines of a card whose interrupts get lost, come late, or come without cause."""

from __future__ import annotations

from mmiotools.engine.inject_carrier import Carrier
from mmiotools.engine.inject_data import Delay, Hold, Spurious
from mmiotools.engine.interface import Host
from mmiotools.typed import Any, Callable, Iterable, NamedTuple


class _Held(NamedTuple):
    """A raised line that the host does not know of yet: until an access is done, or until a time has come."""

    line: int
    access: int | None
    time: int | None
    label: str


class Lines:
    """Stands between a device and its host for interrupts. Accesses are counted by `begin`.

    carriers  the rules; those that are not about interrupts are left alone
    own       the card's interrupt line, for spurious interrupts whose rule names none
    say       takes what was done and the label of the rule that did it
    """

    def __init__(self, carriers: Iterable[Carrier], own: int, say: Callable[[str, str], None]) -> None:
        carriers = list(carriers)
        self.host: Host | None = None
        self._spurious = [carrier for carrier in carriers if isinstance(carrier.rule.action, Spurious)]
        self._rules = [carrier for carrier in carriers if not carrier.rule.ops]
        self._own = own
        self._say = say
        #: Lines that are up as far as the host was told.
        self._told: set[int] = set()
        self.busy = bool(self._spurious or self._rules)
        self.clear()

    def clear(self) -> None:
        """Forget all but what the host was told."""
        self._accesses = 0
        self._held: list[_Held] = []
        #: Lines that the device has raised.
        self._wanted: set[int] = set()
        #: Lines that are up without cause, until the next access.
        self._stray: set[int] = set()
        #: The card is gone.
        self._cut = False

    def change(self, line: int, level: int) -> None:
        """The device raises or lowers a line."""
        if level:
            self._wanted.add(line)
        else:
            self._wanted.discard(line)
        if self._cut:
            return
        if not level:
            for held in [held for held in self._held if held.line == line]:
                self._held.remove(held)
                self._say(f"irq {line} lowered while it was held back", held.label)
            self._stray.discard(line)
            self._tell(line, 0)
            return
        due = [carrier for carrier in self._rules if carrier.rule.line in (None, line) and carrier.due()]
        if not due:
            self._tell(line, level)
            return
        # The first rule decides; the others have counted.
        action, label = due[0].rule.action, due[0].label
        if isinstance(action, Hold):
            self._say(f"irq {line} held back for {action.accesses} accesses", label)
            self._held.append(_Held(line, self._accesses + action.accesses, None, label))
        elif isinstance(action, Delay):
            self._say(f"irq {line} held back for {action.text}", label)
            self._held.append(_Held(line, None, self._now() + action.nanoseconds, label))
        else:
            self._say(f"irq {line} dropped", label)

    def begin(self) -> None:
        """An access begins: what is up without cause goes down, what was held back long enough goes up."""
        self._accesses += 1
        for line in sorted(self._stray - self._wanted):
            self._tell(line, 0)
        self._stray.clear()
        if self._held:
            now = self._now()
            self._deliver([held for held in self._held if held.time is not None and held.time <= now])

    def end(self) -> None:
        """An access is done: the interrupts that come by number of accesses."""
        if self._cut:
            return
        if self._held:
            done = self._accesses
            self._deliver([held for held in self._held if held.access is not None and held.access <= done])
        for carrier in self._spurious:
            if carrier.due():
                line = self._own if carrier.rule.line is None else carrier.rule.line
                self._say(f"irq {line} raised without cause", carrier.label)
                self._stray.add(line)
                self._tell(line, 1)

    def cut(self) -> None:
        """The card is gone: every line goes down, and nothing raises one any more."""
        self._cut = True
        self._held.clear()
        self._stray.clear()
        self._lower(self._told)

    def settle(self) -> None:
        """After a reset: what the device does not want up goes down."""
        self._lower(self._told - self._wanted)

    def save(self) -> dict[str, Any]:
        """State, JSON fit."""
        return {
            "accesses": self._accesses,
            "held": self._held,
            "wanted": sorted(self._wanted),
            "told": sorted(self._told),
            "stray": sorted(self._stray),
            "cut": self._cut,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `save` gave; the host is told where its lines differ from then."""
        self._accesses, self._cut = state["accesses"], state["cut"]
        self._held = [_Held(*entry) for entry in state["held"]]
        self._wanted, self._stray = set(state["wanted"]), set(state["stray"])
        up = set(state["told"])
        self._lower(self._told - up)
        for line in sorted(up - self._told):
            self._tell(line, 1)

    def _lower(self, lines: set[int]) -> None:
        for line in sorted(lines):
            self._tell(line, 0)

    def _deliver(self, due: list[_Held]) -> None:
        for held in due:
            self._held.remove(held)
            self._say(f"irq {held.line} raised late", held.label)
            self._tell(held.line, 1)

    def _tell(self, line: int, level: int) -> None:
        if level:
            self._told.add(line)
        else:
            self._told.discard(line)
        if self.host is not None:
            self.host.irq(line, level)

    def _now(self) -> int:
        return self.host.now() if self.host is not None else 0
