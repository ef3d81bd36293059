"""The recursive fault that was reported in January 2007: the driver of the report, on a kernel that is lazy."""

from __future__ import annotations

from typing import Any

import pytest

from mmiotools.devices.nv_card import NvCard
from mmiotools.drivers.nv_test import MAPPED, PCRTC_INTR_EN, STRAPS, probe_1
from mmiotools.engine.mmu import PAGING
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import Setup
from mmiotools.errors import RecursiveFault
from mmiotools.events import ACCESSES, Event

#: Here a directory entry spans 512 GiB, so that nobody lacks one. The patch does not bear large pages.
LONG_MODE = {"directories": "lazy", "machine": "x86_64", "large_pages": False}


def nv_test(**setup: Any) -> tuple[Outcome, list[int]]:
    """Run the driver; the outcome, and the offsets of the accesses that were recorded."""
    events: list[Event] = []
    card = NvCard()
    outcome = run_driver(probe_1, card, emit=events.append, setup=Setup(**setup), watch=True)
    start = card.pci.bars[0].addr
    return outcome, [(e.addr or 0) - start for e in events if e.kind in ACCESSES]


def test_the_patch_of_2007_faults_for_ever() -> None:
    outcome, recorded = nv_test(compat="seed", directories="lazy")
    # One for the read at STRAPS, and the limit of 50 and one for the write.
    assert (type(outcome.error), outcome.returned, outcome.faults) == (RecursiveFault, None, 1 + 51)
    assert recorded == [STRAPS]
    text = str(outcome.error)
    virt = PAGING["i386"].vmalloc_start + 0x200000 + PCRTC_INTR_EN
    entry = virt >> 22
    assert f"faulted 51 times at {virt:#x} without progress" in text
    assert f"a write to {virt:#x}, which is BAR0+{PCRTC_INTR_EN:#x}" in text
    assert f"directory entry {entry} is there, page table entry present=1" in text
    assert f"current page directory (cr3), as the CPU walks it: directory entry {entry} is missing" in text
    for words in ("vmalloc_fault()", "no TLB flush helps", "was not confirmed", "fault-before-sync, refault-resteps"):
        assert words in text


def test_mainline_survives_in_three_faults() -> None:
    outcome, recorded = nv_test(compat="mainline", directories="lazy", machine="i386")
    assert (outcome.error, outcome.returned, outcome.faults) == (None, 0, 3)
    assert recorded == [STRAPS, PCRTC_INTR_EN]


@pytest.mark.parametrize("policy", ["emulate", "step", "stop-the-world"])
def test_fixed_syncs_first(policy: str) -> None:
    outcome, recorded = nv_test(engine=policy, directories="lazy", machine="i386")
    assert (outcome.error, outcome.returned, outcome.faults) == (None, 0, 3)
    assert recorded == [STRAPS, PCRTC_INTR_EN]


@pytest.mark.parametrize("quirk", ["fault-before-sync", "refault-resteps"])
def test_either_of_two_fixes_ends_it(quirk: str) -> None:
    outcome, recorded = nv_test(compat="seed", directories="lazy", no_quirks=(quirk,))
    assert (outcome.error, recorded) == (None, [STRAPS, PCRTC_INTR_EN])


@pytest.mark.parametrize("setup", [{"directories": "synced"}, LONG_MODE])
def test_it_takes_a_directory_that_lags_behind(setup: dict[str, Any]) -> None:
    outcome, recorded = nv_test(compat="seed", **setup)
    assert (outcome.error, outcome.faults, recorded) == (None, 2, [STRAPS, PCRTC_INTR_EN])


def test_the_two_registers_never_share_a_directory_entry() -> None:
    span = 1 << PAGING["i386"].slot_shift
    assert span < PCRTC_INTR_EN - STRAPS and 4 * span <= MAPPED
