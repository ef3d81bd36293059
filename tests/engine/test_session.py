"""A driver's run from outside: what it returns, how it fails, and who is blamed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from engine_card import BAR0, BAR0_SIZE, BAR1, RamCard, accesses, run

from mmiotools.engine import interface
from mmiotools.engine.instructions import Load, Store
from mmiotools.engine.kernel import Kernel
from mmiotools.engine.machine import Machine
from mmiotools.engine.session import run_driver
from mmiotools.engine.setup import Setup
from mmiotools.errors import Deadlock, DriverError, EngineFailure, MmioToolsError, RecursiveFault, UsageError
from mmiotools.events import Event, Kind

HERE = Path(__file__).name


def line_of(text: str) -> int:
    """The line of this file that holds `text` and the tag of a driver line."""
    lines = Path(__file__).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line and "# here" in line)


def good(k: interface.Kernel) -> int:
    """A well-behaved driver that uses everything once."""
    if (err := k.pci_enable_device()) != 0:
        return err
    if (err := k.pci_request_regions("ram")) != 0:
        k.pci_disable_device()
        return err
    k.pci_set_master()
    base = k.ioremap(k.pci_resource_start(0), k.pci_resource_len(0))
    if not base:
        k.pci_release_regions()
        k.pci_disable_device()
        return -12
    k.trace_marker("probe")
    k.writel(0x1234, base + 0x100)
    k.printk(f"read {k.readw(base + 0x100):x}\n")
    k.pci_set_drvdata(base)
    k.udelay(3)
    k.iounmap(k.pci_get_drvdata())
    k.pci_release_regions()
    k.pci_disable_device()
    return 0


def test_a_good_run() -> None:
    outcome, events, card = run(good)
    assert (outcome.returned, outcome.error, outcome.log) == (0, None, ["read 1234"])
    assert (outcome.accesses, outcome.faults, outcome.steps, outcome.missed) == (2, 2, 0, 0)
    assert outcome.seen == card.seen
    kinds = [e.kind for e in events]
    assert kinds == [Kind.HEADER, Kind.DEVICE, Kind.MAP, Kind.MARK, Kind.WRITE, Kind.READ, Kind.UNMAP]


def test_the_same_driver_unprobed() -> None:
    traced, _, _ = run(good)
    outcome, events, _ = run(good, trace=False)
    assert events == []
    assert (outcome.returned, outcome.log, outcome.seen) == (traced.returned, traced.log, traced.seen)
    assert (outcome.accesses, outcome.faults, outcome.steps) == (2, 0, 0)


def test_a_run_is_repeatable_and_the_seed_changes_its_times_only() -> None:
    first, again, other = (run(good, seed=seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert [e.time for e in first] != [e.time for e in other]
    assert [e._replace(time=None) for e in first] == [e._replace(time=None) for e in other]


@pytest.mark.parametrize(
    "fail, returned",
    [({"pci_enable_device": -5}, -5), ({"pci_request_regions": -16}, -16), ({"ioremap": -12}, -12)],
)
def test_calls_can_be_made_to_fail(fail: dict[str, int], returned: int) -> None:
    outcome, events, card = run(good, fail=fail)
    assert (outcome.returned, outcome.error, card.seen) == (returned, None, [])
    assert [e.kind for e in events] == [Kind.HEADER, Kind.DEVICE]
    assert outcome.log == []


def test_only_known_calls_can_fail() -> None:
    with pytest.raises(UsageError, match="pci_enable_device"):
        run(good, fail={"kmalloc": -12})


# -- driver errors ------------------------------------------------------------------------------------------


def unmapped(k: interface.Kernel) -> int:
    base = k.ioremap(BAR0, 0x1000)
    k.readl(base)
    return k.readl(base + 0x2000)  # here: unmapped


def after_unmap(k: interface.Kernel) -> int:
    base = k.ioremap(BAR0, 0x1000)
    k.readl(base)
    k.iounmap(base)
    k.writel(0, base + 0x2000 - 0x2000)  # here: after_unmap
    return 0


@pytest.mark.parametrize("probe, verb", [(unmapped, "read"), (after_unmap, "write")])
def test_a_bad_access_names_line_and_address(probe: Any, verb: str) -> None:
    outcome, events, _ = run(probe)
    assert isinstance(outcome.error, DriverError)
    assert outcome.returned is None
    virt = next(e.extra["virt"] for e in events if e.kind == Kind.MAP) + (0x2000 if probe is unmapped else 0)
    assert f"{HERE}:{line_of(probe.__name__)}: {verb} at {virt:#x}" in str(outcome.error)
    assert len(accesses(events)) == 1


def test_the_null_pointer_is_not_mapped() -> None:
    outcome, _, _ = run(lambda k: k.readl(0))
    assert "read at 0x0, which is not mapped" in str(outcome.error)


def raises(k: interface.Kernel) -> int:
    base = k.ioremap(BAR0, 0x1000)
    k.readl(base)
    return [][k.readl(base) * 0]  # here: raises


def test_an_exception_names_the_line() -> None:
    outcome, events, _ = run(raises)
    assert f"{HERE}:{line_of('raises')}: IndexError: list index out of range" in str(outcome.error)
    assert len(accesses(events)) == 2


def test_an_exception_in_a_library_names_the_driver_not_the_library() -> None:
    def probe(k: interface.Kernel) -> int:
        import json

        return json.loads("{")  # here: library

    outcome, _, _ = run(probe)
    assert str(outcome.error).count(".py:") == 1
    assert f"{HERE}:{line_of('library')}: json.decoder.JSONDecodeError" in str(outcome.error)


def test_a_driver_cannot_catch_its_way_out_of_an_oops() -> None:
    def probe(k: interface.Kernel) -> int:
        base = k.ioremap(BAR0, 0x1000)
        for address in (0x1000, base):
            try:
                k.readl(address)
            except Exception:
                k.printk("never mind")
        return 0

    outcome, _, card = run(probe)
    assert isinstance(outcome.error, DriverError)
    assert "0x1000" in str(outcome.error)
    assert outcome.returned is None
    assert card.seen == []


@pytest.mark.parametrize("width", [0, 3, 32, -1])
def test_odd_widths_are_a_driver_error(width: int) -> None:
    outcome, _, _ = run(lambda k: k.read(k.ioremap(BAR0, 64), width))
    assert f"access of {width} bytes" in str(outcome.error)


@pytest.mark.parametrize("error", [SystemExit(3), RuntimeError("two\nlines"), AssertionError()])
def test_whatever_a_driver_raises_is_one_line(error: BaseException) -> None:
    def probe(k: interface.Kernel) -> int:
        raise error

    outcome, _, _ = run(probe)
    assert type(error).__name__ in str(outcome.error)
    assert "\n" not in str(outcome.error)


def test_a_probe_function_returns_a_number() -> None:
    assert "'yes'" in str(run(lambda k: "yes")[0].error)
    assert run(lambda k: None)[0].error is None


def test_a_device_that_fails_is_named_beside_the_driver() -> None:
    class Broken(RamCard):
        def read(self, region: str, offset: int, width: int) -> int:
            raise KeyError(offset)  # here: broken card

    outcome = run_driver(lambda k: k.readl(k.ioremap(BAR0, 16) + 8), Broken(), emit=lambda e: None)
    assert str(outcome.error).count(".py:") == 2
    assert f"{HERE}:{line_of('broken card')}: KeyError: 8" in str(outcome.error)


def test_an_endless_driver_can_be_stopped() -> None:
    def probe(k: interface.Kernel) -> int:
        base = k.ioremap(BAR0, 0x1000)
        while k.readl(base) != 0xFFFFFFFF:
            pass
        return 0

    outcome, events, _ = run(probe, limit=20)
    assert isinstance(outcome.error, DriverError)
    assert "20 accesses" in str(outcome.error)
    assert len(accesses(events)) == outcome.accesses == 20


# -- what is not the driver's error -------------------------------------------------------------------------


def test_an_interrupt_comes_through_with_the_events_so_far() -> None:
    events: list[Event] = []

    def probe(k: interface.Kernel) -> int:
        k.readl(k.ioremap(BAR0, 16))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_driver(probe, RamCard(), emit=events.append)
    assert len(accesses(events)) == 1


def test_a_sink_that_fails_is_not_the_driver_s_error() -> None:
    def emit(event: Event) -> None:
        if event.kind == Kind.READ:
            raise BrokenPipeError

    def probe(k: interface.Kernel) -> int:
        try:
            return k.readl(k.ioremap(BAR0, 16))
        except OSError:
            return 0

    with pytest.raises(BrokenPipeError):
        run_driver(probe, RamCard(), emit=emit)


def test_an_error_of_ours_in_the_device_comes_through() -> None:
    class Strict(RamCard):
        def read(self, region: str, offset: int, width: int) -> int:
            raise MmioToolsError("the recording ends here")

    with pytest.raises(MmioToolsError, match="ends here"):
        run_driver(lambda k: k.readl(k.ioremap(BAR0, 16)), Strict(), emit=lambda e: None)


def test_a_recursive_fault_names_line_and_address() -> None:
    def probe(k: Any) -> int:
        base = k.ioremap(BAR0, 0x1000)
        k.cpu.mm.slots.clear()
        return k.readl(base + 0x140)  # here: recursive

    outcome, events, card = run(probe, setup=Setup(compat="seed"))
    assert isinstance(outcome.error, RecursiveFault)
    virt = events[2].extra["virt"] + 0x140
    assert f"{HERE}:{line_of('recursive')}: " in str(outcome.error)
    assert f"{virt:#x}" in str(outcome.error)
    assert card.seen == []


def test_a_device_used_before_reports_this_run_only() -> None:
    card = RamCard()
    first = run_driver(good, card, emit=lambda e: None)
    second = run_driver(good, card, emit=lambda e: None)
    assert len(first.seen) == len(second.seen) == 2
    assert len(card.seen) == 4


# -- the kernel's other services ----------------------------------------------------------------------------


def test_an_access_that_no_device_answers_is_reported_with_its_address() -> None:
    def probe(k: interface.Kernel) -> int:
        base = k.ioremap(BAR0, BAR0_SIZE + 0x1000)
        k.writel(1, base + BAR0_SIZE + 4)
        return int(k.readl(base + BAR0_SIZE) == 0xFFFFFFFF)

    outcome, events, card = run(probe)
    assert outcome.returned == 1
    assert [u.phys for u in outcome.unclaimed] == [BAR0 + BAR0_SIZE + 4, BAR0 + BAR0_SIZE]
    assert f"{BAR0 + BAR0_SIZE + 4:#x}" in outcome.log[0]
    assert card.seen == []
    assert accesses(events)[1] == ("R", BAR0 + BAR0_SIZE, 4, 0xFFFFFFFF)


def test_ten_thousand_unanswered_accesses_do_not_fill_the_log() -> None:
    def probe(k: interface.Kernel) -> int:
        base = k.ioremap(0xC0000000, 0x1000)
        for _ in range(5000):
            k.readl(base)
        return 0

    outcome, _, _ = run(probe, trace=False)
    assert outcome.unclaimed_count == 5000
    assert len(outcome.log) == 10


def test_regions_belong_to_one_driver_at_a_time() -> None:
    def probe(k: interface.Kernel) -> int:
        results = [k.pci_request_regions("a"), k.pci_request_regions("b")]
        k.pci_release_regions()
        results.append(k.pci_request_regions("c"))
        assert results == [0, -16, 0], results
        return 0

    assert run(probe)[0].error is None


def test_resources_of_bars_that_are_not_there_are_zero() -> None:
    def probe(k: interface.Kernel) -> int:
        found = [(k.pci_resource_start(n), k.pci_resource_len(n)) for n in (0, 1, 2)]
        assert found == [(BAR0, BAR0_SIZE), (BAR1, 0x4000), (0, 0)], found
        return 0

    assert run(probe)[0].error is None


@pytest.mark.parametrize("phys, length", [(BAR0, 0), (BAR0, -1), (-4096, 8192), (1 << 52, 1), ((1 << 52) - 8, 9)])
def test_an_impossible_ioremap_gives_zero(phys: int, length: int) -> None:
    outcome, events, _ = run(lambda k: k.ioremap(phys, length))
    assert (outcome.returned, len(events)) == (0, 2)
    assert "ioremap" in outcome.log[0]


def test_dma_needs_bus_mastering() -> None:
    card = RamCard()
    kernel = Kernel(Machine(), card)
    card.host.dma_write(0x1FFE, b"lost")
    assert card.host.dma_read(0x1FFE, 4) == b"\xff" * 4
    kernel.pci_enable_device()
    kernel.pci_set_master()
    card.host.dma_write(0x1FFE, b"kept")
    assert card.host.dma_read(0x1FFD, 6) == b"\0kept\0"
    kernel.pci_disable_device()
    assert card.host.dma_read(0x1FFE, 4) == b"\xff" * 4
    assert len(kernel.log) == 3


def test_interrupts_are_noted_with_their_time() -> None:
    class Ringing(RamCard):
        def write(self, region: str, offset: int, width: int, value: int) -> None:
            super().write(region, offset, width, value)
            self.host.irq(11, value)

    def probe(k: interface.Kernel) -> int:
        base = k.ioremap(BAR0, 16)
        k.writel(1, base)
        k.udelay(7)
        k.writel(0, base)
        return 0

    outcome = run_driver(probe, Ringing(), emit=lambda e: None)
    assert [(i.line, i.level) for i in outcome.irqs] == [(11, 1), (11, 0)]
    assert outcome.irqs[1].time - outcome.irqs[0].time >= 7000


def test_a_large_mapping_costs_nothing_untraced() -> None:
    outcome, _, _ = run(lambda k: int(k.readl(k.ioremap(0, 32 << 30) + BAR0) != 0), trace=False)
    assert outcome.returned == 1


def test_kernel_and_card_meet_the_interfaces() -> None:
    card: interface.Device = RamCard()
    kernel = Kernel(Machine(), card)
    as_kernel: interface.Kernel = kernel
    as_host: interface.Host = kernel
    for protocol, thing in ((interface.Kernel, as_kernel), (interface.Host, as_host), (interface.Device, card)):
        names = [n for n in vars(protocol) if not n.startswith("_")]
        assert names and all(hasattr(thing, n) for n in names)


# -- drivers for several CPUs -------------------------------------------------------------------------------

Steps = Generator[Any, Any, Any]


def on_the_first(k: interface.SmpKernel, bad: Callable[[interface.SmpKernel, int], Steps]) -> Steps:
    base = k.ioremap(BAR0, 0x1000)
    yield Load(base, 4)
    return (yield from bad(k, base))


def on_another(k: interface.SmpKernel, bad: Callable[[interface.SmpKernel, int], Steps]) -> Steps:
    base = k.ioremap(BAR0, 0x1000)
    yield Load(base, 4)
    task = k.start(1, bad(k, base))
    yield task.done
    return task.result


def outside(k: interface.SmpKernel, base: int) -> Steps:
    yield Load(base + 0x2000, 4)  # here: generator reads outside


def to_nowhere(k: interface.SmpKernel, base: int) -> Steps:
    k.iounmap(base)
    yield Store(base, 4, 0)  # here: generator writes nowhere


def plainly(k: interface.SmpKernel, base: int) -> Steps:
    yield None
    return k.readl(base + 0x2000)  # here: generator calls readl


def catching(k: interface.SmpKernel, base: int) -> Steps:
    try:
        yield Load(base + 0x2000, 4)  # here: generator catches
    except Exception:
        k.printk("never mind")
    yield Load(base, 4)
    return 0


def falling(k: interface.SmpKernel, base: int) -> Steps:
    try:
        yield Load(base + 0x2000, 4)  # here: generator falls
    finally:
        raise KeyError("while it fell")


SMP = pytest.mark.parametrize("engine", ["emulate", "step", "stop-the-world"])
WHERE = pytest.mark.parametrize("where", [on_the_first, on_another])


@SMP
@WHERE
@pytest.mark.parametrize(
    "bad, line, what, beyond",
    [
        (outside, "generator reads outside", "read", 0x2000),
        (to_nowhere, "generator writes nowhere", "write", 0),
        (plainly, "generator calls readl", "read", 0x2000),
        (catching, "generator catches", "read", 0x2000),
        (falling, "generator falls", "read", 0x2000),
    ],
)
def test_a_bad_access_of_a_generator_names_line_and_address(
    where: Any, bad: Any, line: str, what: str, beyond: int, engine: str
) -> None:
    outcome, events, _ = run(lambda k: where(k, bad), setup=Setup(cpus=2, engine=engine))
    virt = next(e.extra["virt"] for e in events if e.kind == Kind.MAP) + beyond
    assert isinstance(outcome.error, DriverError)
    assert f"{HERE}:{line_of(line)}: {what} at {virt:#x}, which is not mapped" in str(outcome.error)
    assert outcome.returned is None
    assert len(accesses(events)) == 1


@WHERE
def test_an_exception_of_a_generator_names_the_line(where: Any) -> None:
    def bad(k: interface.SmpKernel, base: int) -> Steps:
        yield Load(base, 4)
        return [][0]  # here: generator raises

    outcome, events, _ = run(lambda k: where(k, bad), setup=Setup(cpus=2))
    assert f"{HERE}:{line_of('generator raises')}: IndexError: list index out of range" in str(outcome.error)
    assert len(accesses(events)) == 2


@WHERE
@pytest.mark.parametrize("wanted", [5, "readl", Load(0, 3)])
def test_a_generator_that_yields_nonsense(where: Any, wanted: Any) -> None:
    def bad(k: interface.SmpKernel, base: int) -> Steps:
        yield wanted  # here: generator yields nonsense

    outcome, _, _ = run(lambda k: where(k, bad), setup=Setup(cpus=2))
    assert isinstance(outcome.error, DriverError)
    assert f"{HERE}:{line_of('generator yields nonsense')}: " in str(outcome.error)
    assert "\n" not in str(outcome.error)


@WHERE
def test_an_endless_generator_can_be_stopped(where: Any) -> None:
    def bad(k: interface.SmpKernel, base: int) -> Steps:
        while True:
            yield Load(base, 4)

    outcome, events, _ = run(lambda k: where(k, bad), setup=Setup(cpus=2), limit=20)
    assert isinstance(outcome.error, DriverError)
    assert "made 20 accesses" in str(outcome.error)
    assert len(accesses(events)) == 20


def test_a_plain_call_cannot_wait_for_another_cpu() -> None:
    """The other CPU is stepping and holds the lock; a plain call does not let it go on, a yielded load does."""

    def probe(k: interface.SmpKernel, plain: bool) -> Steps:
        base = k.ioremap(BAR0, 0x1000)

        def poll() -> Steps:
            for _ in range(20):
                yield Load(base, 4)

        task = k.start(1, poll())
        yield None
        for _ in range(5):
            if plain:
                k.readl(base + 8)  # here: plain call
            else:
                yield Load(base + 8, 4)
            yield None
        yield task.done
        return 0

    setup = Setup(cpus=2, engine="step", quirks=("lock-across-step",))
    outcome, _, _ = run(lambda k: probe(k, True), setup=setup)
    assert isinstance(outcome.error, Deadlock)
    assert f"{HERE}:{line_of('plain call')}: " in str(outcome.error)
    outcome, events, _ = run(lambda k: probe(k, False), setup=setup)
    assert (outcome.error, outcome.returned, len(accesses(events))) == (None, 0, 25)


# -- who brought the machine down ---------------------------------------------------------------------------


def test_a_page_that_the_engine_left_absent_is_blamed_on_a_quirk() -> None:
    def probe(k: interface.SmpKernel) -> Steps:
        base = k.ioremap(BAR0, 0x1000)

        def poll(virt: int) -> Steps:
            for _ in range(50):
                yield Load(virt, 4)

        task = k.start(1, poll(base + 16))
        yield from poll(base)
        yield task.done
        return 0

    outcome, _, _ = run(probe, setup=Setup(cpus=2, compat="mainline"))
    assert isinstance(outcome.error, EngineFailure)
    assert outcome.error.quirk == "double-arm"
    assert str(outcome.error).endswith("the fault engine left it absent (quirk double-arm)")
    assert f"{HERE}:" in str(outcome.error)


def test_a_front_end_s_driver_error_keeps_its_words_and_the_log() -> None:
    def probe(k: Any) -> int:
        k.printk("so far")
        k.readl(k.ioremap(BAR0, 0x1000))
        k.oops = DriverError("mine.c:3: poke+0x12: illegal instruction")
        raise k.oops

    outcome, events, card = run(probe)
    assert str(outcome.error) == "mine.c:3: poke+0x12: illegal instruction"
    assert isinstance(outcome.error, DriverError)
    assert (outcome.log, outcome.seen, len(accesses(events))) == (["so far"], card.seen, 1)
