"""Masks, tolerance and names of registers in a replay: the same files and words as in diff."""

from __future__ import annotations

from pathlib import Path

import pytest
from replay_helpers import Clock, do, drive, flat, tape_of_file

from mmiotools.filters.masks import MaskFile, read_all
from mmiotools.regmaps import load_names
from mmiotools.replay import MockCard, Report, Tape
from mmiotools.replay.entries import find_entries

A, B, C = ("BAR0", 0x10), ("BAR0", 0x20), ("BAR2", 0x10)
POLICY = pytest.mark.parametrize("policy", ["window", "strict", "queue"])
STEPS = (("W", A, 4, 0x12), ("W", B, 4, 5), ("R", A, 4, 7), ("R", C, 4, 1), ("W", A, 4, 0x34))


def mask_file(tmp_path: Path, text: str) -> MaskFile:
    path = tmp_path / "mask.toml"
    path.write_text(text)
    return read_all([str(path)])


def report_of(tape: Tape, done: tuple, policy: str, masks: MaskFile, **more) -> Report:
    card = MockCard(tape, policy, masks=masks)
    values = [do(card, flat(*done).row(position)) for position in range(len(done))]
    assert len(values) == len(done)
    return Report(card.finish(), policy, "driver", card.pci, interrupts=card.interrupts, **more)


@POLICY
def test_masked_bits_of_a_written_value_do_not_count(policy, tmp_path):
    masks = mask_file(tmp_path, '[[mask]]\nregister = "BAR0+0x10"\nbits = 0x0f\n')
    other = (("W", A, 4, 0x1F), *STEPS[1:4], ("W", A, 4, 0x30))
    report = report_of(flat(*STEPS), other, policy, masks)
    assert (report.verdict, report.ledger.matched) == ("completed", 5)
    worse = report_of(flat(*STEPS), (("W", A, 4, 0x2F), *other[1:]), policy, masks).to_json()
    assert [(entry["value"], entry["got"]) for entry in worse["differing"]] == [("0x12", "0x2f")]


@POLICY
def test_ignored_registers_are_answered_and_not_in_the_books(policy):
    tape = flat(*STEPS)
    masks = read_all([], ["BAR0+0x10"])
    card = MockCard(tape, policy, masks=masks)
    card.write(*B, 4, 5)
    assert [card.read(*A, 4), card.read(*A, 4)] == [7, 7]
    card.write(*A, 4, 99)
    assert card.read(*A, 1) == 0xFF
    assert card.read(*C, 4) == 1
    report = Report(card.finish(), policy, "driver", card.pci)
    held = report.to_json()
    assert (held["accesses"], held["matched"], held["ignored"], held["verdict"]) == (5, 2, 3, "completed")
    assert "  5 recorded, 2 matched, 0 extra, 0 missed, 0 differing" in report.lines()
    assert "  masks set aside 3 recorded accesses" in report.lines()


def test_a_mask_of_one_operation_another_device_or_an_address(tmp_path):
    tape = flat(*STEPS)
    other = (("W", A, 4, 1), *STEPS[1:])
    for text, verdict in (
        ('register = "BAR0+0x10"\nop = "write"', "completed"),
        ('register = "BAR0+0x10"\nop = "read"', "diverged"),
        ('register = "BAR0+0x10"\ndevice = "1234:5678"', "completed"),
        ('register = "BAR0+0x10"\ndevice = "8086:100e"', "diverged"),
        ('register = "0xe0000000-0xe000001f"', "completed"),
        ('register = "BAR2"\nignore = true', "diverged"),
    ):
        assert report_of(tape, other, "window", mask_file(tmp_path, f"[[mask]]\n{text}\n")).verdict == verdict, text


@pytest.mark.parametrize("policy", ["window", "queue"])
def test_accesses_that_come_at_any_time(policy, tmp_path):
    block = '[[block]]\naccesses = ["W 4 1234:5678/0/BAR0+0x20 0x5", "R 4 1234:5678/0/BAR2+0x10"]\n'
    masks = mask_file(tmp_path, block)
    tape = flat(*STEPS)
    without = (STEPS[0], STEPS[2], STEPS[4])
    twice = (STEPS[0], *STEPS[1:4], *STEPS[1:2], STEPS[3], STEPS[4])
    for done, matched in ((without, 3), (twice, 5)):
        report = report_of(tape, done, policy, masks)
        assert (report.verdict, report.ledger.matched, report.ledger.excused) == ("completed", matched, 2)
    assert report_of(tape, (*STEPS, ("W", B, 4, 6)), policy, masks).diverged


def test_interrupts_come_also_where_their_register_is_ignored():
    tape = flat(("W", B, 4, 5), ("R", A, 4, 7), ("W", B, 4, 6))
    card, clock = MockCard(tape, masks=read_all([], ["BAR0+0x10"]), irq=find_entries(tape, ["BAR0+0x10"])), Clock()
    card.attach(clock)
    card.write(*B, 4, 5)
    card.read(*A, 4)
    assert [level for _, level in clock.lines] == [1, 0]


@POLICY
def test_a_tolerance_of_accesses_out_of_place(policy):
    other = (*STEPS, ("W", B, 4, 9), ("W", B, 4, 9))
    for fuzz, verdict in ((0, "diverged"), (1, "diverged"), (2, "completed")):
        report = report_of(flat(*STEPS), other, policy, MaskFile(), fuzz=fuzz)
        assert (report.verdict, report.to_json()["extra_count"]) == (verdict, 2)
    assert "  2 out of place; up to 2 are tolerated" in report.lines()


def test_registers_have_their_names(samples):
    names = load_names(["e1000"], lambda line: None)
    tape = tape_of_file(samples / "versions/e1000/base-1.mmio")
    moved = tape.pci._replace(bdf=0x0100, bars=tuple(bar._replace(addr=bar.addr ^ 0x10000000) for bar in tape.pci.bars))
    card = MockCard(tape, pci=moved, masks=read_all([], ["RDBAL", "TDBAL"], names))
    drive(card, tape_of_file(samples / "versions/e1000/add-1.mmio"))
    report = Report(card.finish(), "window", "driver", moved, names=names)
    held = report.to_json()
    assert (held["differing_count"], held["extra_count"], held["ignored"]) == (0, 41, 2)
    assert {entry["register"] for entry in held["extra"]} == {"STATUS", "FCTTV"}
    assert held["first_divergence"]["got"]["register"] == "STATUS"
    assert any(line.endswith("01:00.0/BAR0+0x8 = 0x80080781  STATUS   the driver") for line in report.lines())
