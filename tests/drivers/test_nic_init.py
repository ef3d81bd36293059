"""`nic-init`: frames come back, versions differ as listed, broken cards are refused, nothing is left behind."""

from __future__ import annotations

import pytest
from driver_checks import differ_as_listed, fails_and_cleans_up, run, run_clean, run_watched, same_after_reset
from driver_checks import same_when_replaced as replaced

from mmiotools.cli.main import run as mmiotools
from mmiotools.devices import nic_phy
from mmiotools.devices.nic import Nic
from mmiotools.drivers import find_driver
from mmiotools.drivers import nic_init as driver
from mmiotools.drivers.nic_init import DRIVER
from mmiotools.events import Kind


@pytest.mark.parametrize("version", DRIVER.versions)
@pytest.mark.parametrize("seed", [0, 7])
def test_frames_come_back(version, seed):
    card = Nic()
    outcome = run_clean(DRIVER, version, card, seed=seed)
    assert outcome.log == [
        "nic-init: station 02:4d:4d:49:4f:01",
        "nic-init: link is up",
        "nic-init: 4 frames sent, 4 received, 2890 bytes",
    ]
    assert not card.sent, "a frame went out on the cable"
    assert card.phy.registers[0] & nic_phy.POWER_DOWN


def test_interrupts_and_marks():
    """One interrupt for the link and one for each frame; version 2 hands over all frames at once."""
    for version, wanted in (("1", 5), ("2", 2)):
        outcome, events = run(DRIVER, version, Nic())
        assert sum(irq.level for irq in outcome.irqs) == wanted
        marks = [event.extra["text"] for event in events if event.kind == Kind.MARK]
        assert b" ".join(marks) == b"reset EEPROM PHY rings frames statistics stop"


@pytest.mark.parametrize("seed", range(4))
def test_versions_differ_in_what_is_listed(seed):
    differ_as_listed(DRIVER, Nic, driver.DIFFERENCES, seed)


@pytest.mark.parametrize("version", DRIVER.versions)
def test_failing_calls(version):
    assert fails_and_cleans_up(DRIVER, version, Nic) == 8  # four of them for memory


def bad_checksum() -> Nic:
    card = Nic()
    card.eeprom.words[9] ^= 1
    return card


class BadPins(Nic):
    """Data out of the EEPROM is stuck."""

    def _register(self, at: int) -> int:
        return super()._register(at) & ~8 if at == 0x10 else super()._register(at)


class OtherPhy(Nic):
    """Another maker's PHY."""

    def _finish_mdic(self, now: int) -> None:
        super()._finish_mdic(now)
        if self.mdic >> 16 & 31 == 3:
            self.mdic ^= 0x1000


class NoPhy(Nic):
    """Nothing answers on the PHY's bus."""

    def _finish_mdic(self, now: int) -> None:
        self.mdic |= 1 << 28 | 1 << 30


class NoLink(Nic):
    """No cable."""

    def power_on(self) -> None:
        super().power_on()
        self.phy.link = lambda now: False


class Silent(Nic):
    """An EEPROM that never answers, or a reset that never ends, or a PHY bus that hangs."""

    register, bit = 0, 0

    def _register(self, at: int) -> int:
        value = super()._register(at)
        return value & ~self.bit if at == self.register else value


class NoEeprom(Silent):
    register, bit = 0x14, 1 << 4


class NoMdic(Silent):
    register, bit = 0x20, 1 << 28


class StuckReset(Nic):
    def _register(self, at: int) -> int:
        return super()._register(at) | (1 << 26 if at == 0 else 0)


class Deaf(Nic):
    """The receiver loses every frame."""

    def _arrive(self, frame: bytes) -> None:
        pass


class Garbling(Nic):
    """The receiver turns a bit over, after the check sequence was compared."""

    def _arrive(self, frame: bytes) -> None:
        super()._arrive(frame)
        address = int.from_bytes(self.host.dma_read(self.rx.address - 16, 8), "little")
        self.host.dma_write(address + 20, b"!")


class Miscounting(Nic):
    """One frame too many in the counters."""

    def _send(self, data: bytes, last) -> None:
        self.statistics.add(0x40D4, 1)
        super()._send(data, last)


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (bad_checksum, -5, "checksum is 0xbab"),
        (BadPins, -5, "by its pins"),
        (NoEeprom, -5, "EEPROM word 0x0 does not come"),
        (OtherPhy, -19, "unknown PHY"),
        (NoPhy, -5, "PHY register 2 cannot be accessed"),
        (NoMdic, -110, "PHY register 2 does not come"),
        (NoLink, -110, "no link"),
        (StuckReset, -5, "the reset does not end"),
        (Deaf, -5, "0 of 4 frames came back"),
        (Garbling, -5, "0 of 4 frames came back"),
        (Miscounting, -5, "counter 0x40d4 says 8, not 4"),
    ],
)
@pytest.mark.parametrize("version", DRIVER.versions)
def test_cards_that_do_not_work(make, code, text, version):
    outcome, _ = run_watched(DRIVER, version, make())
    assert outcome.returned == code
    assert text in outcome.log[-1]


def test_receiver_and_transmitter_are_off_afterwards():
    for make in (Nic, Deaf):
        card = make()
        run_watched(DRIVER, "1", card)
        assert [card.read("BAR0", at, 4) for at in (0x100, 0x400, 0xD0, 0x2818)] == [0, 0, 0, 0]


@pytest.mark.parametrize("version", DRIVER.versions)
def test_state_in_the_middle(version):
    replaced(DRIVER, version, Nic)
    same_after_reset(DRIVER, version, Nic())


def test_command_line(tmp_path, capfd):
    assert find_driver("nic-init@2") == (DRIVER, "2")
    assert mmiotools(["record", "--check", "nic-init", "-t", "mmiotrace"]) == 0
    out, err = capfd.readouterr()
    assert "418 right, 0 lost, 0 wrong, 0 invented" in err
    assert "PCIDEV 0018 8086100e a" in out
    assert mmiotools(["record", "nic-init", "--fail", "dma_alloc=ENOMEM", "-o", str(tmp_path / "y.mmio")]) == 0
    assert "the driver's probe returned -12" in capfd.readouterr().err
    assert mmiotools(["list", "drivers"]) == mmiotools(["list", "devices"]) == 0
    out = capfd.readouterr().out
    assert DRIVER.title in out and Nic.title in out
