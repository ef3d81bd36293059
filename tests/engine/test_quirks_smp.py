"""Several CPUs on the same pages: what is lost, who is named for it, and that without quirks nothing is."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quirk_helpers import BAR, NAMES, PAGE, SIZE, Program, Row, Run, mixed, on_all, one_page, run, totals
from quirk_scenes import NOTHING, pair

from mmiotools.engine.instructions import Load, Store
from mmiotools.engine.interface import Kernel
from mmiotools.engine.probes import Probe
from mmiotools.engine.witness import CUT_SHORT, REFUSED

OPEN = "page-open-to-others"
SEEDS = range(8)


def lost(here: Run, only: tuple[tuple[int, int], ...] = ()) -> int:
    """Accesses to what is to be traced that the card saw and nobody recorded; counted here, and not by `Checker`."""
    ranges = only or ((BAR, BAR + SIZE - 1),)

    def meant(row: Row) -> bool:
        start = BAR + row[1]
        return any(first < start + (row[2] or 0) and start <= last for first, last in ranges)

    cpus = here.outcome.initiators or [0] * len(here.seen)
    seen = Counter((cpu, row) for cpu, row in zip(cpus, here.seen, strict=True) if meant(row))
    events = [e.cpu or 0 for e in here.events if e.kind.name in ("READ", "WRITE")]
    recorded = Counter(zip(events, here.rows, strict=True))
    assert recorded - seen == Counter() or only
    return sum((seen - recorded).values())


# -- no quirks, no loss -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["emulate", "step", "stop-the-world"])
@pytest.mark.parametrize("driver", [one_page(8), mixed(8)], ids=["one-page", "mixed"])
def test_four_cpus_lose_nothing(driver: Callable[[Any], Any], policy: str) -> None:
    for seed in SEEDS:
        here = run(driver, engine=policy, cpus=4, seed=seed)
        assert here.complete and lost(here) == 0
        assert (len(here.rows), totals(here.outcome.causes)) == (4 * 8 * 3, Counter())
        assert set(here.outcome.initiators) == {0, 1, 2, 3}


@pytest.mark.parametrize("policy", ["emulate", "step", "stop-the-world"])
def test_two_cpus_lose_nothing_in_any_schedule(policy: str) -> None:
    def body(kernel: Any, base: int, number: int) -> Program:
        yield Store(base + PAGE - 2, 4, number) if number else Load(base, 4)

    endings = pair(on_all(body), engine=policy)
    assert set(endings) == {"ok"} and endings["ok"] > 1


# -- quirks: every loss has a name ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", ["seed", "mainline"])
def test_both_kernels_lose_accesses_and_the_quirks_are_named(compat: str) -> None:
    names: Counter[str] = Counter()
    for seed in SEEDS:
        for driver in (one_page(6), mixed(6)):
            here = run(driver, compat=compat, cpus=4, seed=seed)
            assert sum(here.outcome.causes.values()) == lost(here)
            names.update(here.outcome.causes)
    assert names[OPEN] > 0 and names["local-flush"] > 0
    assert set(names) <= {OPEN, "local-flush", CUT_SHORT}


@pytest.mark.parametrize("compat", ["seed", "mainline"])
def test_without_the_quirks_that_are_named_less_is_lost(compat: str) -> None:
    """On separate words of one page, where only sharing the page can go wrong."""
    without = (OPEN, "local-flush", "double-arm")
    assert any(lost(run(one_page(6), compat=compat, cpus=2, seed=seed)) for seed in SEEDS)
    for seed in SEEDS:
        assert run(one_page(6), compat=compat, cpus=2, seed=seed, no_quirks=without).complete


@pytest.mark.parametrize("name", NAMES)
def test_a_single_quirk_is_named_alone(name: str) -> None:
    for seed in SEEDS:
        for driver in (one_page(4), mixed(4)):
            here = run(driver, engine="step", cpus=3, seed=seed, quirks=name)
            causes = totals(here.outcome.causes)
            assert sum(causes.values()) == lost(here)
            assert set(causes) <= {name, CUT_SHORT}


@pytest.mark.parametrize(
    "name, needs, at, length, setup",
    [
        (OPEN, (), 0, 3 * PAGE, {}),
        ("local-flush", (OPEN,), 0, 3 * PAGE, {}),
        ("global-context", (), 0, 3 * PAGE, {}),
        ("refault-resteps", ("one-page-context",), 0, 3 * PAGE, {"cpus": 1}),
        ("last-page-missed", (), 0x800, PAGE, {}),
        ("page-base-lookup", (), 0x800, PAGE, {}),
        ("partial-registration", (), 0, 3 * PAGE, {"fail": {"fault_page": -12}}),
        ("probe-per-page", (), 0, PAGE, {"only": ((BAR, BAR + 15), (BAR + 32, BAR + 127))}),
        (REFUSED, (), 0, 3 * PAGE, {"fail": {"fault_page": -12}}),
    ],
)
def test_a_quirk_that_loses_accesses_is_named(
    name: str, needs: tuple[str, ...], at: int, length: int, setup: dict[str, Any]
) -> None:
    quirks = (*needs, name) if name in NAMES else needs
    here = run(chance_driver(1, at, length), engine="step", quirks=quirks, **{"cpus": 2, **setup})
    assert here.outcome.causes[name] > 0
    assert sum(here.outcome.causes.values()) == lost(here, setup.get("only", ()))


@pytest.mark.parametrize("name, seen", [("large-page-stride", 3), ("no-register-flush", 2)])
def test_on_one_cpu(name: str, seen: int) -> None:
    def tail(kernel: Kernel) -> int:
        base = kernel.ioremap(BAR, 0x210000)
        for offset in (0, 0x200000, 0x201000, 0x208000, 0x20F000):
            kernel.readl(base + offset)
        return 0

    def known(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kmmio = kernel.tracer.kmmio
        (probe,) = kmmio.probes
        kmmio.unregister(probe)
        kernel.writel(7, base)
        kmmio.register(Probe(probe.addr, probe.length))
        kernel.readl(base)
        kernel.readl(base + 4)
        return 0

    here = run(known if name == "no-register-flush" else tail, engine="step", quirks=name)
    assert here.outcome.causes[name] == seen


def chance_driver(choices: int, at: int, length: int) -> Callable[[Any], Program]:
    """A driver that maps a part of the BAR; every CPU makes accesses at places that chance picks."""

    def body(base: int, number: int) -> Program:
        chance = random.Random(choices * 64 + number)
        for _ in range(6):
            offset = chance.choice([0, 0x40, 0x80, PAGE - 2, PAGE, 2 * PAGE - 1, 2 * PAGE])
            width = chance.choice([1, 2, 4])
            offset = offset if offset + width <= length else 0x40
            yield Load(base + offset, width) if chance.random() < 0.5 else Store(base + offset, width, number)

    def probe(kernel: Any) -> Program:
        base = kernel.ioremap(BAR + at, length)
        others = [kernel.start(number, body(base, number)) for number in range(1, kernel.cpus)]
        yield from body(base, 0)
        for task in others:
            yield task.done
        return 0

    return probe


#: Everything but the old decoder, by which fewer events than accesses can be right.
_SOME = st.lists(st.sampled_from([name for name in NAMES if name != "old-decoder"]), unique=True, max_size=12)


@settings(max_examples=150)
@given(
    quirks=_SOME,
    engine=st.sampled_from(["step", "step", "step", "emulate", "stop-the-world"]),
    cpus=st.integers(1, 4),
    machine=st.sampled_from(["i386", "x86_64"]),
    directories=st.sampled_from(["synced", "lazy"]),
    place=st.sampled_from([(0, 3 * PAGE), (0x800, 0x2000), (8, 0x1010), (0, 0x400)]),
    only=st.sampled_from([(), ((BAR + 0x80, BAR + 0x83), (BAR + 0x90, BAR + PAGE + 3))]),
    short=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_witness_accounts_for_every_loss_under_any_quirks(
    place: tuple[int, int], short: bool, seed: int, quirks: list[str], **setup: Any
) -> None:
    fail = {"fault_page": -12} if short else None
    here = run(chance_driver(seed, *place), seed=seed, fail=fail, quirks=tuple(quirks), **setup)
    causes = totals(here.outcome.causes)
    assert sum(causes.values()) == lost(here, setup["only"])
    assert set(causes) <= {*quirks, CUT_SHORT, REFUSED}


def test_an_event_does_not_pay_for_an_earlier_instruction() -> None:
    """One word is read unseen, then seen, by instructions that are alike or the very same."""
    unseen, seen = PAGE, PAGE - 2

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR + 0x800, PAGE)
        kernel.readl(base + unseen - 0x800)
        kernel.readl(base + seen - 0x800)
        return 0

    here = run(probe, quirks="last-page-missed")
    assert [row[1] for row in here.rows] == [seen]
    assert totals(here.outcome.causes) == {"last-page-missed": 1}

    def again(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kmmio, same = kernel.tracer.kmmio, Load(base, 4)
        (traced,) = kmmio.probes
        kmmio.unregister(traced)
        kernel.run(same)
        kmmio.register(traced)
        kernel.run(same)
        return 0

    here = run(again)
    assert (len(here.rows), sum(here.outcome.causes.values())) == (1, 1)

    def body(kernel: Any, base: int, number: int) -> Program:
        same = Load(base + 4 * number, 4)
        for _ in range(6):
            yield same

    for seed in SEEDS:
        here = run(on_all(body), engine="step", quirks=OPEN, cpus=2, seed=seed)
        assert totals(here.outcome.causes) == {OPEN: lost(here)} and lost(here) < 12


@pytest.mark.parametrize(
    "quirk, needs, driver",
    [
        ("double-arm", (OPEN, "fault-before-sync"), one_page(6)),
        ("one-page-context", (), mixed(2)),
        ("pte-nonatomic", (OPEN,), mixed(6)),
    ],
)
def test_an_oops_is_blamed_on_its_quirk(quirk: str, needs: tuple[str, ...], driver: Callable[[Any], Any]) -> None:
    blamed = []
    for seed in range(30):
        here = run(driver, engine="step", quirks=(*needs, quirk), cpus=2, seed=seed)
        if here.outcome.error is not None:
            place = re.search(r"at (0x\w+), which is not mapped \(BAR0.*left it absent", str(here.outcome.error))
            assert place is not None
            blamed.append(here.kernel.tracer.kmmio.stepping.why_absent(int(place[1], 16) >> 12))
    assert set(blamed) == {quirk}


def test_an_oops_after_unregistering_is_blamed_on_its_quirk() -> None:
    def probe(kernel: Any) -> Program:
        base, kmmio = kernel.ioremap(BAR, PAGE), kernel.tracer.kmmio
        (traced,) = kmmio.probes
        kernel.device.hooks[0] = lambda: traced in list(kmmio.probes) and kmmio.unregister(traced)
        yield Load(base, 4)
        yield Load(base, 4)
        return 0

    here = run(probe, engine="step", quirks=(OPEN, "rearm-after-unregister"))
    page = here.kernel.cpu.cr2 >> 12
    assert here.ending == "Oops"
    assert here.kernel.tracer.kmmio.stepping.why_absent(page) == "rearm-after-unregister"
    assert run(probe, engine="step", quirks=OPEN).ending == "lost"


def test_the_lock_is_released_for_faults_of_others() -> None:
    """A process that lacks the directory entry of an unprobed page faults there, and the patch of 2007 looks at it."""

    def probe(kernel: Any) -> int:
        plain, traced = kernel.ioremap(BAR, 0x300000), kernel.ioremap(BAR + 0x300000, PAGE)
        kernel.readl(plain + 0x2FF000)
        kernel.readl(traced)
        kernel.readl(traced + 4)
        return 0

    only = ((BAR + 0x300000, BAR + 0x300FFF),)
    here = run(probe, compat="seed", cpus=2, directories="lazy", only=only)
    assert here.outcome.error is None
    assert [row[1] for row in here.rows] == [0x300000, 0x300004]
    assert here.outcome.faults == 3


def test_the_probe_that_the_tracer_did_not_make_is_not_its_loss() -> None:
    def probe(kernel: Any) -> int:
        kernel.readl(kernel.ioremap(BAR, PAGE))
        return 0

    here = run(probe, only=NOTHING)
    assert (here.rows, totals(here.outcome.causes)) == ([], Counter())


def test_a_call_that_runs_in_one_go_cannot_wait_for_the_lock_of_another_cpu() -> None:
    def body(kernel: Any, base: int, number: int) -> Program:
        for _ in range(5):
            if number:
                yield Load(base, 4)
            else:
                kernel.readl(base + 4)
                yield None

    told = {str(run(on_all(body), compat="seed", cpus=2, seed=seed).outcome.error) for seed in range(30)}
    assert any("waits for a lock that another one holds" in text for text in told)
    for seed in range(30):
        here = run(on_all(body), compat="seed", cpus=2, seed=seed, no_quirks=("lock-across-step", "global-context"))
        assert here.outcome.error is None
