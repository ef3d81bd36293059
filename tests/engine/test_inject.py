"""Rules carried out: what the CPU gets, what the card sees, what the trace says, and that it is the same again."""

from __future__ import annotations

import random

import pytest
from engine_card import BAR0, RamCard
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.devices.nv_card import NvCard
from mmiotools.drivers.nv_init import probe_1 as nv_init
from mmiotools.engine.inject import Injector
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.interface import CONFIG, Seen
from mmiotools.engine.pci import PciKernel
from mmiotools.engine.session import run_driver
from mmiotools.engine.truth import compare
from mmiotools.errors import ExpressionError, UsageError
from mmiotools.events import ACCESSES, Kind


class Desk:
    """A host that remembers interrupts, and whose time passes when it is told to."""

    def __init__(self) -> None:
        self.time = 0
        self.irqs: list[tuple[int, int]] = []
        self.memory: dict[int, bytes] = {}

    def now(self) -> int:
        return self.time

    def irq(self, line: int, level: int) -> None:
        self.irqs.append((line, level))

    def dma_read(self, address: int, n: int) -> bytes:
        return self.memory[address][:n]

    def dma_write(self, address: int, data: bytes) -> None:
        self.memory[address] = data

    def delay(self, nanoseconds: int) -> None:
        self.time += nanoseconds


PATTERN = RamCard().bytes


class IrqCard(RamCard):
    """Writing L to 0x40 raises line L, writing to 0x44 lowers line L; configuration space reads as 0x1234."""

    def read(self, region: str, offset: int, width: int) -> int:
        return 0x1234 if region == CONFIG else super().read(region, offset, width)

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        super().write(region, offset, width, value)
        if offset in (0x40, 0x44) and region == "BAR0":
            self.host.irq(value, int(offset == 0x40))

    def reset(self) -> None:
        self.bytes = {name: bytearray(held) for name, held in PATTERN.items()}
        self.seen.clear()


def injected(*texts: str, card: RamCard | None = None, seed: int = 0) -> tuple[Injector, Desk, list[str]]:
    """A card behind rules, its host, and the marks as they come."""
    device = Injector(card or IrqCard(), parse_rules(texts), seed)
    host, marks = Desk(), []
    device.mark = marks.append
    device.attach(host)
    return device, host, marks


def reads(device: Injector, count: int, offset: int = 8, width: int = 4) -> list[int]:
    return [device.read("BAR0", offset, width) for _ in range(count)]


#: What RamCard holds at 8, four bytes.
HELD = int.from_bytes(bytes((7 * n) & 0xFF for n in range(8, 12)), "little")


@pytest.mark.parametrize(
    ("when", "turns"),
    [
        ("", range(1, 21)),
        ("after 10", range(11, 21)),
        ("once", [1]),
        ("times 3", [1, 2, 3]),
        ("every 5", [5, 10, 15, 20]),
        ("at 7", [7]),
        ("after 10 every 4", [14, 18]),
        ("after 2 every 3 times 2", [5, 8]),
        ("width 2", []),
        ("width 4 at 2", [2]),
        (f"if value == {HELD:#x} at 2", [2]),
        (f"if value != {HELD:#x}", []),
        ("if value & 0xff == 0x38 after 19", [20]),
    ],
)
def test_when_a_rule_acts(when, turns):
    device, _, marks = injected(f"read BAR0+0x8 -> 0x1 {when}")
    assert reads(device, 20) == [1 if n in turns else HELD for n in range(1, 21)]
    assert len(marks) == len(turns) == device.tally[0].acted
    assert device.unused == ([] if turns else [f"read BAR0+0x8 -> 0x1 {when}"])


def test_the_mark_says_what_was_changed_by_which_rule():
    device, _, marks = injected("write BAR0+0x8 -> 0x0", "read BAR0+0x8 -> 0xffffffffff after 1")
    reads(device, 2, width=2)
    value = HELD & 0xFFFF
    assert marks == [f"inject: read BAR0+0x8 {value:#06x} -> 0xffff [rule 2: read BAR0+0x8 -> 0xffffffffff after 1]"]


def test_other_registers_directions_and_regions_are_left_alone():
    device, _, marks = injected("read BAR0+0x8+4 -> 0", "write BAR1+0x8 drop")
    plain = RamCard()
    for region, offset, width in (("BAR0", 4, 4), ("BAR0", 12, 4), ("BAR0", 7, 1), ("BAR1", 8, 4)):
        assert device.read(region, offset, width) == plain.read(region, offset, width)
    device.write("BAR0", 8, 4, 0x12345678)
    assert device.inner.read("BAR0", 8, 4) == 0x12345678
    assert marks == []
    assert [device.read("BAR0", at, 1) for at in (7, 8, 11, 12)] == [plain.read("BAR0", 7, 1), 0, 0, 84]


def test_a_flipped_bit_is_one_bit():
    device, _, marks = injected("read BAR0+0x8 flip", "write BAR0+0xc flip bit 31")
    changed = [value ^ HELD for value in reads(device, 200)]
    assert all(bits.bit_count() == 1 and bits < 1 << 32 for bits in changed)
    assert len(set(changed)) > 16
    assert len(marks) == 200
    device.write("BAR0", 0xC, 4, 1)
    assert device.inner.read("BAR0", 0xC, 4) == 0x80000001
    device.write("BAR0", 0xC, 1, 2)
    assert device.inner.read("BAR0", 0xC, 1) == 2
    assert len(marks) == 201


def test_probability_is_how_often():
    device, _, marks = injected("read BAR0+0x8 flip 0.25", "read BAR0+0x8 -> 0 0.001 once")
    reads(device, 4000)
    first = [mark for mark in marks if "rule 1" in mark]
    assert 850 < len(first) < 1150
    assert device.tally[1] == ("read BAR0+0x8 -> 0 0.001 once", 4000, 1)


def test_stuck_bits():
    rules = "read BAR0+0x8 stuck 0xf0 = 1", "read BAR0+0x8 stuck bit 0 = 0", "write BAR0 stuck 1 = 1"
    device, _, marks = injected(*rules)
    assert reads(device, 1) == [(HELD | 0xF0) & ~1]
    assert len(marks) == 1
    device.write("BAR0", 0x20, 1, 0x10)
    assert device.inner.read("BAR0", 0x20, 1) == 0x11


def test_dropped_accesses_do_not_reach_the_card():
    device, _, marks = injected("write BAR0+0x8 drop at 2", "read BAR0+0xc drop once", "write BAR0+0x8 -> 0 at 2")
    for value in (1, 2, 3):
        device.write("BAR0", 8, 4, value)
    assert reads(device, 2, 0xC) == [0xFFFFFFFF, RamCard().read("BAR0", 0xC, 4)]
    inner = [(seen.op, seen.value) for seen in device.inner.seen if seen.region == "BAR0"]
    assert inner[:2] == [("W", 1), ("W", 3)]
    assert len(inner) == 3
    assert [(seen.op, seen.value) for seen in device.seen][:4] == [("W", 1), ("W", 2), ("W", 3), ("R", 0xFFFFFFFF)]
    assert marks == [
        "inject: write BAR0+0x8 0x00000002 dropped [rule 1: write BAR0+0x8 drop at 2]",
        "inject: read BAR0+0xc dropped, 0xffffffff instead [rule 2: read BAR0+0xc drop once]",
    ]


def test_seen_is_what_passed_the_bus():
    device, *_ = injected("read BAR0 -> 0x5", "write BAR0 -> 0x6")
    device.read("BAR0", 8, 4)
    device.write("BAR0", 8, 4, 0x99)
    assert device.seen == [Seen("R", "BAR0", 8, 4, 5), Seen("W", "BAR0", 8, 4, 0x99)]
    assert device.inner.seen == [Seen("R", "BAR0", 8, 4, HELD), Seen("W", "BAR0", 8, 4, 6)]


def test_delays_let_time_pass_before_the_card_is_asked():
    class Clock(RamCard):
        def read(self, region: str, offset: int, width: int) -> int:
            return self.host.now()

    device, host, marks = injected("read BAR0+0x8 delay 5us every 2", card=Clock())
    assert reads(device, 3) == [0, 5000, 5000]
    assert marks == ["inject: read BAR0+0x8 delayed 5us [rule 1: read BAR0+0x8 delay 5us every 2]"]
    assert host.time == 5000


def test_a_host_without_delays_is_refused():
    class Still:
        def now(self) -> int:
            return 0

    device = Injector(RamCard(), parse_rules(["read BAR0 delay 5us"]))
    with pytest.raises(UsageError, match="cannot let time pass within an access: read BAR0 delay 5us"):
        device.attach(Still())  # type: ignore[arg-type]


# -- removal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "last"),
    [
        ("remove", 0),
        ("remove after 3", 3),
        ("remove at 3", 2),
        ("remove at BAR0+0x8", 0),
        ("remove at BAR0+0x8 after 3", 3),
        ("remove at read 0xfd000008 at 3", 2),
        ("remove at write BAR0+0x8", 9),
    ],
)
def test_a_removed_card_answers_nothing(rule, last):
    device, _, marks = injected(rule)
    device.read(CONFIG, 0, 4) if last else None
    assert reads(device, 9) == [HELD if n <= last else 0xFFFFFFFF for n in range(1, 10)]
    device.write("BAR0", 8, 4, 1)
    assert device.read("BAR0", 8, 2) == 0xFFFF
    assert not [seen for seen in device.inner.seen if seen.op == "W"]
    assert marks == [f"inject: card removed at {'write' if last == 9 else 'read'} BAR0+0x8 [rule 1: {rule}]"]
    assert len(device.seen) == 11 + bool(last)


def test_configuration_space_of_a_removed_card():
    device, *_ = injected("remove after 2", "read config+0x4 -> 7")
    assert [device.read(CONFIG, 0, 4) for _ in range(5)] == [0x1234] * 5
    assert device.read(CONFIG, 4, 4) == 7
    reads(device, 3)
    assert [device.read(CONFIG, at, 2) for at in (0, 4)] == [0xFFFF, 0xFFFF]


def test_other_rules_end_with_the_card():
    device, host, marks = injected(
        "read BAR0+0x8 -> 0", "remove at BAR0+0x8 after 2", "irq delay 9 accesses at 2", "irq spurious at 7"
    )
    device.write("BAR0", 0x40, 4, 5)
    device.write("BAR0", 0x40, 4, 6)
    assert reads(device, 20) == [0, 0] + [0xFFFFFFFF] * 18
    assert host.irqs == [(5, 1), (5, 0)]
    assert [tally.acted for tally in device.tally] == [2, 1, 1, 0]
    device.line(6, 1)
    assert host.irqs == [(5, 1), (5, 0)]
    assert len(marks) == 4


# -- interrupts --------------------------------------------------------------------------------------------------


def raise_and_lower(device: Injector, *lines: int) -> None:
    for line in lines:
        device.write("BAR0", 0x40, 4, line)
        device.write("BAR0", 0x44, 4, line)


def test_lost_interrupts():
    device, host, marks = injected("irq lose after 2", "irq line 7 drop once")
    raise_and_lower(device, 7, 5, 7, 5)
    assert [line for line, level in host.irqs if level] == [5]
    assert marks[0] == "inject: irq 7 dropped [rule 2: irq line 7 drop once]"
    assert marks[1:] == [f"inject: irq {line} dropped [rule 1: irq lose after 2]" for line in (7, 5)]


def test_late_interrupts_by_accesses():
    device, host, marks = injected("irq delay 3 accesses")
    device.write("BAR0", 0x40, 4, 5)
    device.read(CONFIG, 0, 1)
    reads(device, 2)
    assert host.irqs == []
    reads(device, 1)
    assert host.irqs == [(5, 1)]
    assert [mark.partition(" [")[0] for mark in marks] == [
        "inject: irq 5 held back for 3 accesses",
        "inject: irq 5 raised late",
    ]


def test_late_interrupts_by_time():
    device, host, marks = injected("irq delay 5us")
    device.write("BAR0", 0x40, 4, 5)
    host.time += 4999
    reads(device, 3)
    assert host.irqs == []
    host.time += 1
    reads(device, 1)
    assert host.irqs == [(5, 1)]
    assert len(marks) == 2


def test_an_interrupt_that_is_taken_back_in_time_does_not_come():
    device, host, marks = injected("irq delay 3 accesses")
    raise_and_lower(device, 5)
    reads(device, 9)
    assert host.irqs == [(5, 0)]
    assert marks[1].startswith("inject: irq 5 lowered while it was held back [rule 1")


def test_spurious_interrupts():
    device, host, marks = injected("irq spurious every 4 accesses times 2", "irq line 3 spurious at 5")
    reads(device, 4)
    assert host.irqs == [(11, 1)]
    device.read(CONFIG, 0, 1)
    assert host.irqs == [(11, 1)]
    reads(device, 8)
    assert host.irqs == [(11, 1), (11, 0), (3, 1), (3, 0), (11, 1), (11, 0)]
    assert [mark.partition(" [")[0] for mark in marks] == [
        f"inject: irq {line} raised without cause" for line in (11, 3, 11)
    ]


def test_a_spurious_interrupt_leaves_a_line_alone_that_the_card_has_raised():
    device, host, _ = injected("irq line 5 spurious at 2")
    device.write("BAR0", 0x40, 4, 5)
    reads(device, 5)
    assert (5, 0) not in host.irqs


def test_a_card_without_interrupt_needs_a_line():
    card = IrqCard()
    card.pci = card.pci._replace(irq=0)
    with pytest.raises(ExpressionError, match="irq line N spurious"):
        Injector(card, parse_rules(["irq spurious every 4"]))
    Injector(card, parse_rules(["irq line 4 spurious every 4"]))


def test_memory_and_time_of_the_host_are_the_cards():
    device, host, _ = injected("irq drop")
    host.time = 77
    inner = device.inner
    inner.host.dma_write(0x1000, b"abc")
    assert (inner.host.dma_read(0x1000, 2), inner.host.now(), host.memory) == (b"ab", 77, {0x1000: b"abc"})


def test_the_wrapper_is_its_card_but_for_the_faults():
    device, *_ = injected()
    assert (device.name, device.title, device.pci) == (RamCard.name, RamCard.title, RamCard.pci)
    with pytest.raises(ExpressionError, match="BAR0 has only 0x10000 bytes"):
        injected("read BAR0+0x10000 drop")


# -- the same again ----------------------------------------------------------------------------------------------

RULES = (
    "read BAR0+0x0-0x1f flip 0.3",
    "read BAR0 stuck bit 2 = 1 every 3",
    "write BAR0+0x0-0x1f drop 0.3",
    "write BAR0+0x10 flip after 2",
    "access BAR0+0x8 delay 3us 0.5",
    "remove 0.02",
    "irq drop 0.3",
    "irq delay 2 accesses every 2",
    "irq delay 5us 0.5",
    "irq spurious 0.1",
    "irq line 3 spurious every 7",
)
STEPS = st.lists(
    st.tuples(st.sampled_from("RRWWT"), st.sampled_from([0, 4, 8, 0x10, 0x40, 0x44]), st.integers(0, 3)), max_size=40
)
SOME_RULES = st.lists(st.sampled_from(RULES), max_size=6)


def drive(device: Injector, host: Desk, steps: list[tuple[str, int, int]]) -> list[object]:
    """Do the steps; everything that can be seen from outside, in order."""
    out: list[object] = []
    device.mark = out.append
    for what, offset, value in steps:
        if what == "R":
            out.append(device.read("BAR0", offset, 4))
        elif what == "W":
            device.write("BAR0", offset, 4, value)
        else:
            host.time += 2000 * value
        out.append((host.time, len(host.irqs), host.irqs[-1:]))
    return out


@settings(max_examples=60)
@given(SOME_RULES, STEPS, st.integers(0, 3))
def test_same_seed_and_rules_same_run_and_reset_begins_it_anew(rules, steps, seed):
    first, second = (injected(*rules, seed=seed) for _ in range(2))
    runs = [drive(device, host, steps) for device, host, _ in (first, second)]
    assert runs[0] == runs[1]
    device = first[0]
    device.reset()
    assert device.seen == []
    assert [tally[1:] for tally in device.tally] == [(0, 0)] * len(rules)
    host = Desk()
    device.attach(host)
    assert drive(device, host, steps) == runs[0]


@settings(max_examples=60)
@given(SOME_RULES, STEPS, STEPS, STEPS)
def test_restore_goes_on_as_from_the_snapshot(rules, before, after, between):
    device, host, _ = injected(*rules)
    drive(device, host, before)
    state, time, up = device.snapshot(), host.time, levels(host)
    once = drive(device, host, after)
    drive(device, host, between)
    device.restore(state)
    assert levels(host) == up
    host.time = time
    again = drive(device, host, after)
    # Counts of calls of the host differ by what restore told it.
    assert [x for x in again if not isinstance(x, tuple)] == [x for x in once if not isinstance(x, tuple)]
    assert device.restore(state) is None and device.snapshot() == state


def levels(host: Desk) -> set[int]:
    """The lines that are up."""
    return {line for line, level in dict(host.irqs).items() if level}


def test_a_seed_chooses_the_accidents():
    runs = []
    for seed in (1, 2):
        device, *_ = injected("read BAR0+0x8 flip 0.5", seed=seed)
        runs.append(reads(device, 50))
    assert runs[0] != runs[1]


def test_a_further_rule_changes_nothing_for_the_others():
    alone, *_ = injected("read BAR0+0x8 flip 0.3")
    among, *_ = injected("read BAR0+0xc flip 0.5", "read BAR0+0x8 stuck 1 = 0 0.5", "read BAR0+0x8 flip 0.3")
    assert [value & ~1 for value in reads(alone, 100)] == [value & ~1 for value in reads(among, 100)]
    twice, *_ = injected("read BAR0+0x8 flip 0.3", "read BAR0+0x8 flip 0.3")
    assert reads(twice, 100) != [HELD] * 100


# -- in the machine ----------------------------------------------------------------------------------------------


def traced(probe, device, **options):
    events: list = []
    outcome = run_driver(probe, device, emit=events.append, **options)
    return outcome, events


def test_marks_stand_before_the_access_that_they_are_about():
    def probe(kernel) -> int:
        base = kernel.ioremap(BAR0, 0x1000)
        kernel.writel(7, base + 8)
        return kernel.readl(base + 8) + kernel.readl(base + 8)

    device = Injector(RamCard(), parse_rules(["write BAR0+0x8 drop", "read BAR0+0x8 -> 0x3 at 2"]))
    outcome, events = traced(probe, device)
    assert outcome.returned == HELD + 3
    kinds = [event.kind for event in events if event.kind in (*ACCESSES, Kind.MARK)]
    assert kinds == [Kind.MARK, Kind.WRITE, Kind.READ, Kind.MARK, Kind.READ]
    texts = [event.extra["text"].decode() for event in events if event.kind == Kind.MARK]
    assert texts[1] == f"inject: read BAR0+0x8 {HELD:#010x} -> 0x00000003 [rule 2: read BAR0+0x8 -> 0x3 at 2]"
    assert [event.value for event in events if event.kind in ACCESSES] == [7, HELD, 3]


CHAOS = (
    "access BAR0+0x600000-0xffffff flip 0.1",
    "write BAR0 drop 0.05",
    "read BAR1 stuck 0x10 = 1",
    "read BAR0+0x600000-0xffffff drop 0.05",
    "remove at 80",
)


def test_the_recording_agrees_with_what_passed_the_bus_whatever_happens():
    for seed in range(5):
        runs = []
        for _ in range(2):
            device = Injector(NvCard(), parse_rules(CHAOS), seed)
            outcome, events = traced(nv_init, device, seed=seed, limit=5000)
            assert outcome.error is None
            truth = compare(events, outcome.seen, device.pci)
            assert truth.clean and truth.right == outcome.accesses > 60
            runs.append(events)
        assert runs[0] == runs[1]
        assert any(event.kind == Kind.MARK and event.extra["text"].startswith(b"inject: ") for event in runs[0])


def test_a_delay_shows_in_the_times_of_the_trace(monkeypatch):
    if not hasattr(PciKernel, "delay"):

        def delay(self, nanoseconds: int) -> None:
            self.machine.now += nanoseconds

        monkeypatch.setattr(PciKernel, "delay", delay, raising=False)

    def probe(kernel) -> int:
        base = kernel.ioremap(BAR0, 0x1000)
        return sum(kernel.readl(base + 8) for _ in range(3)) and 0

    device = Injector(IrqCard(), parse_rules(["read BAR0+0x8 delay 5ms at 2"]))
    _, events = traced(probe, device)
    first, _, third = (event.time for event in events if event.kind == Kind.READ)
    assert 5_000_000 <= third - first < 5_100_000


def test_without_the_tracer_the_faults_are_the_same():
    def probe(kernel) -> int:
        base = kernel.ioremap(BAR0, 0x1000)
        return sum(kernel.readl(base + 8) for _ in range(20))

    results = set()
    for trace in (True, False):
        device = Injector(RamCard(), parse_rules(["read BAR0+0x8 flip 0.5"]), 1)
        results.add(traced(probe, device, trace=trace)[0].returned)
    assert len(results) == 1 and results != {20 * HELD}


@pytest.mark.parametrize(
    ("rules", "handled"),
    [((), 3), (("irq drop at 2",), 2), (("irq spurious at 2",), 4), (("irq delay 2 accesses",), 3)],
)
def test_interrupts_in_the_machine(rules, handled):
    def probe(kernel) -> int:
        base = kernel.ioremap(BAR0, 0x1000)
        calls = []

        def handler() -> None:
            calls.append(1)
            kernel.writel(11, base + 0x44)

        kernel.request_irq(handler)
        for _ in range(3):
            kernel.writel(11, base + 0x40)
            for _ in range(4):
                kernel.readl(base + 8)
            # The driver gives up on the interrupt, as after a timeout.
            kernel.writel(11, base + 0x44)
        return len(calls)

    outcome, _ = traced(probe, Injector(IrqCard(), parse_rules(rules)))
    assert outcome.returned == handled


def test_many_registers_under_rules_are_looked_up_right(monkeypatch):
    monkeypatch.setattr("mmiotools.engine.inject._KNOWN", 8)
    chooser = random.Random(1)
    spans = [(low, low + chooser.randrange(1, 64)) for low in (chooser.randrange(0, 0x400) for _ in range(20))]
    device, *_ = injected(*(f"read BAR0+{low:#x}-{high:#x} -> {n:#x}" for n, (low, high) in enumerate(spans, 1)))
    plain = RamCard()
    for _ in range(500):
        at = chooser.randrange(0, 0x480)
        over = [n for n, (low, high) in enumerate(spans, 1) if low <= at <= high]
        assert device.read("BAR0", at, 1) == (over[-1] if over else plain.read("BAR0", at, 1))
