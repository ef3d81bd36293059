"""The comparison of a recording with the card's own log: nothing lost, wrong or invented goes unnoticed."""

from __future__ import annotations

from engine_card import BAR0, BAR1, RamCard, Rig
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.engine.interface import CONFIG, Seen
from mmiotools.engine.truth import Checker, Recorded, compare
from mmiotools.events import Event, Kind

PCI = RamCard.pci
_KINDS = {"R": Kind.READ, "W": Kind.WRITE}


def event(seen: Seen) -> Event:
    base = BAR0 if seen.region == "BAR0" else BAR1
    return Event(_KINDS[seen.op], 0, seen.width, 1, base + seen.offset, value=seen.value, pc=0, pid=0)


SEEN = [
    Seen("W", "BAR0", 0x10, 4, 1),
    Seen("R", "BAR0", 0x10, 4, 1),
    Seen("W", "BAR1", 0x10, 4, 2),
    Seen("R", "BAR0", 0x20, 1, 7),
    Seen("R", "BAR0", 0x10, 4, 1),
]
EVENTS = [event(s) for s in SEEN]


def test_a_faithful_recording_is_clean() -> None:
    truth = compare(EVENTS, SEEN, PCI)
    assert truth.clean
    assert truth.right == 5


def test_lost() -> None:
    for n, missing in enumerate(SEEN):
        truth = compare(EVENTS[:n] + EVENTS[n + 1 :], SEEN, PCI)
        assert (truth.lost, truth.wrong, truth.invented) == ([missing], [], [])
        assert truth.right == 4


def test_invented() -> None:
    extra = Event(Kind.READ, 0, 4, 1, BAR0 + 0x40, value=9)
    for n in range(6):
        truth = compare([*EVENTS[:n], extra, *EVENTS[n:]], SEEN, PCI)
        assert (truth.lost, truth.wrong) == ([], [])
        assert truth.invented == [Recorded("R", "BAR0", 0x40, 4, 9)]


def test_wrong_value() -> None:
    for n, theirs in enumerate(SEEN):
        changed = [*EVENTS]
        changed[n] = changed[n]._replace(value=0x55)
        truth = compare(changed, SEEN, PCI)
        assert (truth.lost, truth.invented) == ([], [])
        assert [pair[1] for pair in truth.wrong] == [theirs]


def test_a_wrong_width_or_direction_is_not_the_same_access() -> None:
    for change in ({"width": 2}, {"kind": Kind.READ}):
        truth = compare([EVENTS[0]._replace(**change), *EVENTS[1:]], SEEN, PCI)
        assert (len(truth.lost), len(truth.invented), truth.right) == (1, 1, 4)


def test_swapped_accesses_are_noticed() -> None:
    assert not compare([EVENTS[1], EVENTS[0], *EVENTS[2:]], SEEN, PCI).clean


def test_accesses_elsewhere_and_configuration_space_say_nothing() -> None:
    elsewhere = Event(Kind.READ, 0, 4, 1, 0x1000, value=0xFFFFFFFF)
    truth = compare([elsewhere, *EVENTS], [Seen("W", CONFIG, 4, 2, 6), *SEEN], PCI)
    assert truth.clean
    assert truth.elsewhere == [elsewhere]


def test_the_events_may_come_one_by_one() -> None:
    checker = Checker(PCI)
    for e in [Event(Kind.HEADER), Event(Kind.MARK, extra={"text": b"x"}), *EVENTS[1:]]:
        checker.add(e)
    assert checker.verdict(SEEN).lost == [SEEN[0]]


def test_an_unknown_stands_for_the_access_or_the_two_at_its_address() -> None:
    rig = Rig("step", ["old-decoder"])
    a, b = rig.kernel.ioremap(BAR0, 0x1000), rig.kernel.ioremap(BAR1, 0x1000)
    rig.kernel.set_bits(a, 4, 0x80)
    rig.kernel.writel(3, a)
    rig.kernel.copy(b, a, 4)
    rig.kernel.copy(a + 8, a + 4, 2)
    rig.kernel.readl(b)
    truth = compare(rig.events, rig.card.seen, PCI)
    assert truth.clean
    assert truth.right == 7


def test_an_unknown_does_not_swallow_a_recorded_write() -> None:
    unknown = Event(Kind.UNKNOWN, 0, map=1, addr=BAR0, extra={"opcode": b"\xa5\x90\x90"})
    seen = [Seen("R", "BAR0", 0, 4, 5), Seen("W", "BAR0", 0, 4, 6)]
    assert compare([unknown, event(seen[1])], seen, PCI).clean
    assert compare([unknown], seen, PCI).clean
    assert compare([unknown], [*seen, *seen], PCI).lost == seen


def test_an_unknown_before_accesses_that_look_like_its_own() -> None:
    rig = Rig("step", ["old-decoder"])
    a = rig.kernel.ioremap(BAR0, 0x1000)
    rig.kernel.writel(0, a)
    for _ in range(100):
        rig.kernel.set_bits(a, 4, 0)
    for _ in range(100):
        rig.kernel.writel(0, a)
    assert compare(rig.events, rig.card.seen, PCI).clean
    assert len(compare(rig.events, [*rig.card.seen, SEEN[3]], PCI).lost) == 1
    assert not compare(rig.events[:-1], rig.card.seen, PCI).clean


def test_a_burst_of_losses_is_counted_exactly() -> None:
    seen = [Seen("R", "BAR0", 4 * (n % 50), 4, n) for n in range(5000)]
    kept = [event(s) for n, s in enumerate(seen) if not 1000 <= n < 4900]
    truth = compare(kept, seen, PCI)
    assert truth.lost == seen[1000:4900]
    assert (truth.wrong, truth.invented) == ([], [])


seen_lists = st.lists(
    st.builds(Seen, st.sampled_from("RW"), st.just("BAR0"), st.sampled_from([0, 4]), st.just(4), st.integers(0, 2)),
    max_size=12,
)


@given(seen_lists, seen_lists)
def test_every_access_is_accounted_for(recorded: list[Seen], seen: list[Seen]) -> None:
    truth = compare([event(s) for s in recorded], seen, PCI)
    assert truth.right + len(truth.wrong) + len(truth.invented) == len(recorded)
    assert truth.right + len(truth.wrong) + len(truth.lost) == len(seen)
    assert truth.clean == (recorded == seen)


@given(
    st.lists(
        st.tuples(
            st.builds(
                Seen, st.sampled_from("RW"), st.just("BAR0"), st.sampled_from([0, 4]), st.just(4), st.integers(0, 2)
            ),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_a_recording_with_gaps_is_never_wrong_or_invented(accesses: list[tuple[Seen, bool]]) -> None:
    seen = [one for one, _ in accesses]
    kept = [one for one, keep in accesses if keep]
    truth = compare([event(s) for s in kept], seen, PCI)
    assert (truth.right, truth.wrong, truth.invented) == (len(kept), [], [])
    assert sorted(truth.lost) == sorted(one for one, keep in accesses if not keep)


def test_unknowns_among_losses() -> None:
    """or, or, or: each an UNKNOWN, each a read and a write; every third one is lost, and the writes between them."""
    unknown = Event(Kind.UNKNOWN, 0, map=1, addr=BAR0, extra={"opcode": b"\x83\x08\x01"})
    seen, kept = [], []
    for n in range(90):
        seen += [Seen("R", "BAR0", 0, 4, n), Seen("W", "BAR0", 0, 4, n + 1), Seen("W", "BAR1", 8, 4, n)]
        kept += [] if n % 3 == 1 else [unknown]
    truth = compare(kept, seen, PCI)
    assert (truth.right, truth.wrong, truth.invented) == (60, [], [])
    assert len(truth.lost) == 30 * 2 + 90
