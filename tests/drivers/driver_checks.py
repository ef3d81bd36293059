"""What the tests of drivers ask of every one: its differences, what it leaves behind, cards that are replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mmiotools.drivers.differences import Difference
from mmiotools.engine.interface import CONFIG, Device, Driver, Host, Seen
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.truth import compare
from mmiotools.events import Event

#: Call that takes something → call that gives it back.
PAIRS = {
    "pci_enable_device": "pci_disable_device",
    "pci_request_regions": "pci_release_regions",
    "ioremap": "iounmap",
    "request_irq": "free_irq",
    "dma_alloc": "dma_free",
}


class Ledger:
    """A kernel that counts what a driver has taken, and can let the nth call of a kind fail."""

    def __init__(self, kernel: Any, fail: tuple[str, int] | None = None) -> None:
        self._kernel = kernel
        self._fail = fail
        self.held: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._kernel, name)
        takes = {give: take for take, give in PAIRS.items()}

        def call(*arguments: Any) -> Any:
            self.calls[name] += 1
            if (name, self.calls[name]) == self._fail:
                return {"ioremap": 0, "dma_alloc": (0, 0)}.get(name, -5)
            result = real(*arguments)
            if name in PAIRS:
                self.held[name] += 1
            elif name in takes:
                self.held[takes[name]] -= 1
            return result

        return call


def run(driver: Driver, version: str, device: Device, **options: Any) -> tuple[Outcome, list[Event]]:
    """A recording."""
    events: list[Event] = []
    return run_driver(driver.versions[version], device, emit=events.append, **options), events


def run_clean(driver: Driver, version: str, device: Device, **options: Any) -> Outcome:
    """A recording that has to be right: it returns 0, the card saw what was recorded, and nobody complained."""
    outcome, events = run(driver, version, device, **options)
    assert outcome.error is None
    assert outcome.returned == 0
    truth = compare(events, outcome.seen, device.pci)
    assert truth.clean and not truth.elsewhere
    assert truth.right == len([seen for seen in outcome.seen if seen.region != CONFIG]) > 20
    only_own_lines(driver, outcome)
    return outcome


def only_own_lines(driver: Driver, outcome: Outcome) -> None:
    """The kernel has nothing to say: no stray DMA, no access beside the card, no interrupt that nobody took."""
    assert [line for line in outcome.log if not line.startswith(f"{driver.name}: ")] == []
    assert outcome.unclaimed_count == outcome.missed == 0


def run_watched(
    driver: Driver, version: str, device: Device, fail: tuple[str, int] | None = None
) -> tuple[Outcome, Ledger]:
    """A run after which nothing may be left: what was taken was given back, and the kernel has no complaints."""
    ledgers: list[Ledger] = []

    def probe(kernel: Any) -> int:
        ledgers.append(Ledger(kernel, fail))
        return driver.versions[version](ledgers[0])  # type: ignore[arg-type]

    outcome = run_driver(probe, device, emit=lambda event: None)
    assert outcome.error is None
    assert set(ledgers[0].held.values()) == ({0} if ledgers[0].held else set())
    only_own_lines(driver, outcome)
    # The line is down, or the next driver would find an interrupt that is not its own.
    assert not outcome.irqs or outcome.irqs[-1].level == 0
    return outcome, ledgers[0]


def fails_and_cleans_up(driver: Driver, version: str, make: Callable[[], Device]) -> int:
    """Lets each call that takes something fail, the first and every further time, and counts the failures tried."""
    _, ledger = run_watched(driver, version, make())
    tried = 0
    for name in PAIRS:
        for nth in range(1, ledger.calls[name] + 1):
            outcome, _ = run_watched(driver, version, make(), (name, nth))
            assert outcome.returned is not None and outcome.returned < 0, (name, nth)
            tried += 1
    return tried


def differ_as_listed(
    driver: Driver, make: Callable[[], Device], differences: Iterable[Difference], seed: int = 0
) -> None:
    """As multisets, so that no aligner is needed: what moves is in both, all else is in one."""
    one, two = (Counter(tuple(s) for s in run(driver, version, make(), seed=seed)[0].seen) for version in "12")
    only_one, only_two = one - two, two - one
    for difference in differences:
        place = (difference.op, "BAR0", difference.offset, difference.width)
        if difference.kind == "move":
            assert (one[*place, difference.old], two[*place, difference.new]) == (1, 1)
            continue
        gone = {key for key in only_one if key[:4] == place} if difference.kind in ("delete", "change") else set()
        new = {key for key in only_two if key[:4] == place} if difference.kind in ("insert", "change") else set()
        assert bool(gone) == (difference.kind in ("delete", "change")), difference
        assert bool(new) == (difference.kind in ("insert", "change")), difference
        for keys, value, left in ((gone, difference.old, only_one), (new, difference.new, only_two)):
            for key in keys:
                assert value is None or key[4] == value, difference
                assert difference.times is None or left[key] == difference.times, difference
                del left[key]
    assert not only_one
    assert not only_two


class Replaced:
    """A card that is taken out before every nth access, and another of its kind put in with its state."""

    api = 1
    name = "replaced"
    title = "A card that is replaced again and again."

    def __init__(self, make: Callable[[], Device], every: int = 1) -> None:
        self._make = make
        self._card = make()
        self._host: Host | None = None
        self._every = every
        self._seen: list[Seen] = []
        self.replaced = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._card, name)

    @property
    def seen(self) -> list[Seen]:
        """Of all the cards."""
        return self._seen

    def attach(self, host: Host) -> None:
        """Sit in a machine."""
        self._host = host
        self._card.attach(host)

    def _access(self) -> None:
        if len(self._seen) % self._every == 0 and self._host is not None:
            state = self._card.snapshot()
            self._card = self._make()
            self._card.attach(self._host)
            self._card.restore(state)
            assert self._card.snapshot() == state
            self.replaced += 1

    def read(self, region: str, offset: int, width: int) -> int:
        """By the card that is there now."""
        self._access()
        value = self._card.read(region, offset, width)
        self._seen.append(self._card.seen[-1])
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """By the card that is there now."""
        self._access()
        already = len(self._card.seen)
        self._card.write(region, offset, width, value)
        self._seen.extend(self._card.seen[already:])


def same_when_replaced(driver: Driver, version: str, make: Callable[[], Device], every: int = 1) -> None:
    """A snapshot is the whole state: the driver cannot tell that its card is replaced in the middle of everything."""
    device = Replaced(make, every)
    plain, replaced = run(driver, version, make())[0], run(driver, version, device)[0]
    assert device.replaced >= 20
    assert replaced.returned == plain.returned == 0
    assert replaced.seen == plain.seen
    assert replaced.log == plain.log


def same_after_reset(driver: Driver, version: str, device: Device) -> None:
    """A card that was reset is as new. The run before it is cut short in the middle, with everything going on."""
    whole = run(driver, version, device)[0]
    device.reset()
    cut = run(driver, version, device, limit=whole.accesses * 2 // 3)[0]
    assert cut.error is not None and "did not come to an end" in str(cut.error)
    device.reset()
    assert device.seen == []
    assert run(driver, version, device)[0].seen == whole.seen
