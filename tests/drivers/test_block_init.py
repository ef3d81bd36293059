"""`block-init`: blocks read back, versions differ as listed, broken controllers are refused, nothing is left behind."""

from __future__ import annotations

import pytest
from driver_checks import differ_as_listed, fails_and_cleans_up, run, run_clean, run_watched, same_after_reset
from driver_checks import same_when_replaced as replaced

from mmiotools.cli.main import run as mmiotools
from mmiotools.devices.block import BLOCKS, Block
from mmiotools.drivers import block_init as driver
from mmiotools.drivers import find_driver
from mmiotools.drivers.block_init import DRIVER


@pytest.mark.parametrize("version", DRIVER.versions)
@pytest.mark.parametrize("seed", [0, 7])
def test_blocks_are_on_the_disk(version, seed):
    card = Block()
    outcome = run_clean(DRIVER, version, card, seed=seed)
    assert outcome.log == [
        "block-init: version 0x10200",
        "block-init: mmiotools block device of vendor 0x1b36",
        f"block-init: {BLOCKS} blocks of 512 bytes",
        "block-init: two blocks written and read back",
    ]
    first, last = (card.queues.disk.read(512 * n, 512).to_bytes(512, "little") for n in (0, BLOCKS - 1))
    assert (first[0], last[0]) == (0, 1)
    assert first[1:] == last[1:] != bytes(511)
    assert (card.cc, card.csts, card.queues.submission) == (0, 0, {})


def test_every_command_interrupts():
    for version, commands in (("1", 7 + 4), ("2", 8 + 5)):
        outcome, _ = run(DRIVER, version, Block())
        ups = sum(irq.level for irq in outcome.irqs)
        assert ups == commands, "masking lowers the line, and unmasking does not raise it again"


@pytest.mark.parametrize("seed", range(4))
def test_versions_differ_in_what_is_listed(seed):
    differ_as_listed(DRIVER, Block, driver.DIFFERENCES, seed)


@pytest.mark.parametrize("stride", range(4))
def test_any_doorbell_stride(stride):
    outcome = run_clean(DRIVER, "1", Block(stride=stride))
    bells = {seen.offset for seen in outcome.seen if seen.offset >= 0x1000}
    assert bells == {0x1000 + n * (4 << stride) for n in range(4)}


@pytest.mark.parametrize("version", DRIVER.versions)
def test_failing_calls(version):
    assert fails_and_cleans_up(DRIVER, version, Block) == 11  # seven of them for memory


class OtherPages(Block):
    """Pages of 8 KiB at least."""

    def _register(self, at: int) -> int:
        return super()._register(at) | (1 << 16 if at == 4 else 0)


class NeverReady(Block):
    def _enable(self) -> None:
        pass


class Fatal(Block):
    def _enable(self) -> None:
        self.csts = 2


class NoDoorbells(Block):
    def _doorbell(self, number: int, completion: int, value: int) -> None:
        pass


class NoInterrupts(Block):
    """The line is broken; completions are there all the same."""

    def interrupt(self) -> bool:
        return False


class Forgetful(Block):
    """Writes go nowhere."""

    def power_on(self) -> None:
        super().power_on()
        self.queues.disk.write = lambda *where: None


class Small(Block):
    """The last block that is promised is not there."""

    def _doorbell(self, number: int, completion: int, value: int) -> None:
        self.queues.blocks = BLOCKS if number == 0 else BLOCKS - 1
        super()._doorbell(number, completion, value)


class NoShutdown(Block):
    def pass_time(self) -> None:
        self.shut_at = 0
        super().pass_time()


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (OtherPages, -19, "not a disk with pages of 4 KiB"),
        (NeverReady, -110, "CSTS stays 0x0"),
        (Fatal, -5, "the controller gave up"),
        (NoDoorbells, -110, "command 0x06 of queue 0 does not end"),
        (Forgetful, -5, "does not read back"),
        (Small, -5, "command 0x01 of queue 1 ended with 0x80"),
        (NoShutdown, -110, "CSTS stays 0x5"),
    ],
)
@pytest.mark.parametrize("version", DRIVER.versions)
def test_controllers_that_do_not_work(make, code, text, version):
    outcome, _ = run_watched(DRIVER, version, make())
    assert outcome.returned == code
    assert text in outcome.log[-1]


@pytest.mark.parametrize("version", DRIVER.versions)
def test_lost_interrupts_are_survived(version):
    outcome, _ = run_watched(DRIVER, version, NoInterrupts())
    assert outcome.returned == 0
    assert outcome.irqs == []


@pytest.mark.parametrize("version", DRIVER.versions)
def test_state_in_the_middle(version):
    replaced(DRIVER, version, Block)
    same_after_reset(DRIVER, version, Block())


def test_command_line(tmp_path, capfd):
    assert find_driver("block-init@2") == (DRIVER, "2")
    assert mmiotools(["record", "--check", "block-init", "-o", str(tmp_path / "x.mmio")]) == 0
    assert "69 right, 0 lost, 0 wrong, 0 invented" in capfd.readouterr().err
    assert mmiotools(["record", "block-init", "--fail", "ioremap=ENOMEM", "-o", str(tmp_path / "y.mmio")]) == 0
    assert "the driver's probe returned -12" in capfd.readouterr().err
    assert mmiotools(["list", "drivers"]) == mmiotools(["list", "devices"]) == 0
    out = capfd.readouterr().out
    assert DRIVER.title in out and Block.title in out
