"""The kmmio layer: registration, fault pages and their counts, flags, traps that are not ours."""

from __future__ import annotations

import errno

import pytest
from engine_card import BAR0, BAR1, RamCard

from mmiotools.engine.cpu import DR6_STEP, IF, TF, Cpu, Operand
from mmiotools.engine.instructions import Alter, Copy, Load, Store
from mmiotools.engine.kmmio import POLICIES, Kmmio
from mmiotools.engine.machine import FAULT_LIMIT, RETRY, BadAccess, Machine, Steps, drain
from mmiotools.engine.mmu import PAGE_SHIFT, WRITABLE
from mmiotools.engine.probes import Access, Probe, ProbeError
from mmiotools.errors import RecursiveFault

V = 0x40000  # BAR0 is mapped here, 8 pages; BAR1 behind it, 2 pages, then nothing
W = V + 0x8000


class Bench:
    """A machine with two mappings and probes that write down their calls."""

    def __init__(self, policy: str = "step") -> None:
        self.machine = Machine()
        self.kmmio = Kmmio(self.machine, policy)
        self.card = RamCard()
        self.machine.bus.attach(self.card)
        self.machine.init_mm.map(V >> PAGE_SHIFT, BAR0 >> PAGE_SHIFT, 8)
        self.machine.init_mm.map(W >> PAGE_SHIFT, BAR1 >> PAGE_SHIFT, 2)
        self.cpu = self.machine.cpus[0]
        self.cpu.mm.sync_all()
        self.calls: list[tuple[str, int, int]] = []

    def probe(self, addr: int, length: int) -> Probe:
        probe = Probe(addr, length, self._pre, self._post)
        self.kmmio.register(probe)
        return probe

    def _pre(self, probe: Probe, cpu: Cpu, operand: Operand) -> None:
        self.calls.append(("pre", probe.addr, operand.virt))

    def _post(self, probe: Probe, cpu: Cpu, access: Access) -> None:
        self.calls.append(("post", probe.addr, access.virt))

    def load(self, virt: int, width: int = 4) -> int:
        self.machine.execute(self.cpu, Load(virt, width))
        return self.cpu.ax

    def present(self, virt: int) -> bool:
        return self.machine.init_mm.entry(virt >> PAGE_SHIFT).present


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- registration -------------------------------------------------------------------------------------------


def test_probe_arms_exactly_its_pages(bench: Bench) -> None:
    bench.load(V + 0x1000)
    bench.probe(V + 0x1800, 0x1000)
    assert [bench.present(V + 0x1000 * n) for n in range(4)] == [True, False, False, True]
    assert V + 0x1000 >> PAGE_SHIFT not in bench.cpu.tlb


def test_is_active_counts_probes(bench: Bench) -> None:
    assert not bench.kmmio.active
    probe = bench.probe(V, 0x10)
    assert bench.kmmio.active
    bench.kmmio.unregister(probe)
    assert not bench.kmmio.active


@pytest.mark.parametrize("addr, length", [(V + 0x40, 1), (V + 0x3F, 2), (V + 0x7F, 1), (V, 0x1000), (V + 0x40, 0x40)])
def test_overlap_is_refused_and_changes_nothing(bench: Bench, addr: int, length: int) -> None:
    bench.probe(V + 0x40, 0x40)
    with pytest.raises(ProbeError) as error:
        bench.probe(addr, length)
    assert error.value.errno == errno.EEXIST
    assert len(bench.kmmio.probes) == 1
    assert bench.kmmio.probes.armed(V >> PAGE_SHIFT) == 1


def test_adjacent_probes_in_one_page_are_fine(bench: Bench) -> None:
    probes = [bench.probe(V + 0x10 * n, 0x10) for n in range(3)]
    assert bench.kmmio.probes.armed(V >> PAGE_SHIFT) == 3
    bench.load(V + 0x10)
    assert bench.calls == [("pre", V + 0x10, V + 0x10), ("post", V + 0x10, V + 0x10)]
    for n, probe in enumerate(probes):
        assert not bench.present(V)
        bench.kmmio.unregister(probe)
        assert bench.kmmio.probes.armed(V >> PAGE_SHIFT) == 2 - n
    assert bench.present(V)


@pytest.mark.parametrize("addr, length", [(V, 0), (V, -4), (-8, 16), ((1 << 64) - 8, 9)])
def test_impossible_ranges_are_refused(bench: Bench, addr: int, length: int) -> None:
    with pytest.raises(ProbeError) as error:
        bench.probe(addr, length)
    assert error.value.errno == errno.EINVAL


def test_registration_is_all_or_nothing(bench: Bench) -> None:
    bench.probe(V + 0x7F00, 0x10)
    with pytest.raises(ProbeError) as error:
        bench.probe(W - 0x80, 0x3000)  # its last page is not mapped
    assert error.value.errno == errno.EFAULT
    assert [bench.kmmio.probes.armed(V + 0x1000 * n >> PAGE_SHIFT) for n in range(6, 9)] == [0, 1, 0]
    assert [bench.present(W - 0x1000), bench.present(W), bench.present(W + 0x1000)] == [False, True, True]
    assert len(bench.kmmio.probes) == 1


def test_unregistering_twice_is_refused(bench: Bench) -> None:
    probe = bench.probe(V, 0x10)
    bench.kmmio.unregister(probe)
    with pytest.raises(ProbeError) as error:
        bench.kmmio.unregister(probe)
    assert error.value.errno == errno.ENOENT


# -- an access ----------------------------------------------------------------------------------------------


def test_an_access_faults_once_and_steps_once(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    expected = int.from_bytes(bench.card.bytes["BAR0"][0x20:0x24], "little")
    assert bench.load(V + 0x20) == expected
    assert (bench.machine.faults, bench.machine.steps, bench.kmmio.hits) == (1, 1, 1)
    assert bench.calls == [("pre", V, V + 0x20), ("post", V, V + 0x20)]
    assert not bench.present(V)
    assert V >> PAGE_SHIFT not in bench.cpu.tlb


def test_the_page_is_open_and_interrupts_off_only_during_the_step(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    during = []
    read = bench.card.read

    def spy(region: str, offset: int, width: int) -> int:
        during.append((bench.present(V), bench.cpu.flags & (TF | IF)))
        return read(region, offset, width)

    bench.card.read = spy  # type: ignore[method-assign]
    bench.load(V)
    assert during == [(False, TF)], "open to this CPU alone, so not in the table"
    assert bench.cpu.flags == IF


@pytest.mark.parametrize("flags", [0, IF, 0x40 | IF])
def test_flags_come_back_as_they_were(bench: Bench, flags: int) -> None:
    bench.probe(V, 0x1000)
    bench.cpu.flags = flags
    bench.load(V)
    assert bench.cpu.flags == flags


def test_a_hit_outside_every_probe_is_counted(bench: Bench) -> None:
    bench.probe(V + 0x100, 0x10)
    bench.load(V + 0x110)
    bench.load(V + 0xFC)
    assert (bench.kmmio.missed, bench.kmmio.hits, bench.calls) == (2, 0, [])
    assert len(bench.card.seen) == 2
    assert not bench.present(V)


def test_an_access_that_begins_before_the_probe_hits_it(bench: Bench) -> None:
    bench.probe(V + 0x100, 0x10)
    bench.load(V + 0xFE)
    assert bench.calls == [("pre", V + 0x100, V + 0xFE), ("post", V + 0x100, V + 0xFE)]


def test_an_access_over_two_probes_is_shown_to_both(bench: Bench) -> None:
    bench.probe(V + 0x1000, 0x1000)
    bench.probe(V + 0x2000, 0x1000)
    bench.load(V + 0x1FFE)
    assert [c[:2] for c in bench.calls] == [
        ("pre", V + 0x1000), ("pre", V + 0x2000), ("post", V + 0x1000), ("post", V + 0x2000)
    ]  # fmt: skip
    assert (bench.machine.faults, len(bench.card.seen)) == (1, 1)
    assert not bench.present(V + 0x1000) and not bench.present(V + 0x2000)


def test_a_copy_between_two_armed_pages_is_one_step(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    bench.probe(W, 0x1000)
    bench.machine.execute(bench.cpu, Copy(W + 4, V + 8, 4))
    assert [c for c in bench.calls if c[0] == "pre"] == [("pre", V, V + 8), ("pre", W, W + 4)]
    assert [s.op for s in bench.card.seen] == ["R", "W"]
    assert not bench.present(V) and not bench.present(W)


def test_read_modify_write_is_two_hits(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    before = bench.load(V)
    bench.cpu.ax = 0x8000_0001
    bench.machine.execute(bench.cpu, Alter(V, 4, 0))
    assert [s.op for s in bench.card.seen] == ["R", "R", "W"]
    assert bench.load(V) == before | 0x8000_0001
    assert bench.kmmio.hits == 4


def test_a_probe_that_goes_away_in_its_own_handler(bench: Bench) -> None:
    probe = bench.probe(V, 0x1000)
    probe.pre_handler = lambda p, cpu, operand: bench.kmmio.unregister(p)
    bench.load(V)
    assert bench.present(V)
    assert not bench.kmmio.probes.armed(V >> PAGE_SHIFT)
    assert bench.cpu.flags == IF


def test_a_second_probe_after_the_first_covered_the_whole_page(bench: Bench) -> None:
    first = bench.probe(V, 0x1000)
    bench.load(V)
    bench.kmmio.unregister(first)
    bench.probe(V, 8)
    bench.calls.clear()
    bench.load(V + 8)
    assert bench.calls == []
    assert bench.kmmio.missed == 1


# -- not ours -----------------------------------------------------------------------------------------------


def test_a_foreign_fault_is_passed_on(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    heard = []

    def next_handler(cpu: Cpu) -> Steps[int]:
        heard.append(cpu.cr2)
        bench.machine.init_mm.map(cpu.cr2 >> PAGE_SHIFT, BAR0 >> PAGE_SHIFT, 1)
        return RETRY
        yield None

    bench.machine.fault_handlers.append(next_handler)
    bench.load(0x900_000)
    assert heard == [0x900_000]
    assert bench.calls == []


def test_a_fault_that_nobody_takes_ends_the_program(bench: Bench) -> None:
    with pytest.raises(BadAccess) as error:
        bench.load(0x900_000)
    assert error.value.addr == 0x900_000
    assert "0x900000" in str(error.value)


def test_a_write_to_a_read_only_page_is_not_ours(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    bench.machine.init_mm.entry(V >> PAGE_SHIFT).word &= ~WRITABLE
    with pytest.raises(BadAccess, match="not writable"):
        bench.machine.execute(bench.cpu, Store(V, 4, 0))
    assert not bench.present(V)
    assert bench.cpu.flags == IF
    assert [c[0] for c in bench.calls] == ["pre"]


def test_an_access_off_the_end_of_an_armed_page_leaves_it_armed(bench: Bench) -> None:
    bench.probe(W + 0x1000, 0x1000)
    with pytest.raises(BadAccess) as error:
        bench.load(W + 0x1FFE)
    assert error.value.addr == W + 0x2000
    assert bench.card.seen == []
    assert not bench.present(W + 0x1000)
    assert bench.cpu.flags == IF


def test_a_debugger_that_was_stepping_gets_its_trap_too(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    heard = []

    def debugger(cpu: Cpu) -> Steps[bool]:
        heard.append(cpu.dr6 & DR6_STEP)
        return True
        yield None

    bench.machine.debug_handlers.append(debugger)
    bench.load(V)
    assert heard == []
    bench.cpu.flags |= TF
    bench.load(V)
    bench.load(V + 0x5000)
    assert heard == [DR6_STEP, DR6_STEP]
    assert bench.cpu.flags == TF | IF
    assert bench.machine.stray_steps == 0


def test_a_trap_flag_of_nobody_is_cleared(bench: Bench) -> None:
    bench.cpu.flags |= TF
    bench.load(V)
    assert bench.machine.stray_steps == 1
    assert bench.cpu.flags == IF
    assert bench.cpu.dr6 == 0


def test_a_debug_trap_without_the_step_bit_is_not_ours(bench: Bench) -> None:
    assert not drain(bench.kmmio.stepping.debug(bench.cpu))


def test_a_device_that_raises_leaves_the_page_armed(bench: Bench) -> None:
    bench.probe(V, 0x1000)
    read = bench.card.read

    def fail(region: str, offset: int, width: int) -> int:
        raise ZeroDivisionError

    bench.card.read = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        bench.load(V)
    assert (bench.present(V), bench.cpu.flags, bench.cpu.tlb.private) == (False, IF, {})
    bench.card.read = read  # type: ignore[method-assign]
    bench.calls.clear()
    bench.load(V)
    assert [c[0] for c in bench.calls] == ["pre", "post"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_directory_that_lags_behind_is_synced_first(policy: str) -> None:
    bench = Bench(policy)
    bench.probe(V, 0x1000)
    bench.cpu.mm.slots.clear()
    bench.load(V + 0x140)
    assert [c[0] for c in bench.calls] == ["pre", "post"]
    assert bench.machine.faults == 2
    assert bench.cpu.flags == IF


def test_a_fault_without_progress_is_detected() -> None:
    bench = Bench()
    bench.machine.fault_handlers.insert(0, _retry)
    bench.probe(V, 0x1000)
    bench.machine.shortcut = None
    with pytest.raises(RecursiveFault) as error:
        bench.load(V + 0x140)
    assert f"{V + 0x140:#x}" in str(error.value)
    assert bench.machine.faults == FAULT_LIMIT + 1
    assert bench.calls == []


def _retry(cpu: Cpu) -> Steps[int]:
    return RETRY
    yield None


def test_a_thousand_probes_in_one_page() -> None:
    bench = Bench("emulate")
    probes = [bench.probe(V + 4 * n, 4) for n in range(1000)]
    bench.load(V + 400)
    assert bench.calls == [("pre", V + 400, V + 400), ("post", V + 400, V + 400)]
    for probe in probes:
        bench.kmmio.unregister(probe)
    assert bench.present(V) and not bench.kmmio.active


@pytest.mark.parametrize("policy", ["emulate", "step", "stop-the-world"])
def test_a_small_probe_in_a_large_page(policy: str) -> None:
    bench = Bench(policy)
    first = 1 << 30
    bench.machine.init_mm.map(first, BAR0 >> PAGE_SHIFT, 1024, shift=21)
    bench.cpu.mm.sync_all()
    at = (first + 3) << PAGE_SHIFT
    probe = bench.probe(at, 4)
    bench.load(at + 0x2000)
    bench.load(first << PAGE_SHIFT)
    assert bench.calls == [] and bench.kmmio.missed == 2
    bench.load(at)
    assert [c[0] for c in bench.calls] == ["pre", "post"]
    bench.kmmio.unregister(probe)
    assert bench.present(at) and bench.present(first << PAGE_SHIFT)


def test_a_probe_over_32_gib_keeps_nothing_a_page() -> None:
    bench = Bench("emulate")
    first = 1 << 30
    bench.machine.init_mm.map(first, BAR0 >> PAGE_SHIFT, (32 << 30) >> PAGE_SHIFT)
    probe = bench.probe(first << PAGE_SHIFT, 32 << 30)
    assert len(bench.machine.init_mm.entries) <= 1
    bench.cpu.mm.sync_all()
    bench.load((first << PAGE_SHIFT) + 0x20)
    assert [c[0] for c in bench.calls] == ["pre", "post"]
    bench.kmmio.unregister(probe)
    assert len(bench.machine.init_mm.entries) <= 2
