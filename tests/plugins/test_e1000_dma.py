"""The transmit ring of e1000-dma, and plugins as a family."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.errors import UsageError
from mmiotools.plugins import PLUGINS, make_plugin
from mmiotools.serve.host import ServedHost

BASE, COUNT = 0x2000, 8
RS, DEXT, DD = 0x08, 0x20, 1


class Ram(ServedHost):
    """A host whose memory is here."""

    def __init__(self) -> None:
        super().__init__()
        self.ram = bytearray(0x4000)

    def dma_read(self, address: int, n: int) -> bytes:
        return bytes(self.ram[address : address + n])

    def dma_write(self, address: int, data: bytes) -> None:
        self.ram[address : address + len(data)] = data

    def command(self, index: int, command: int) -> None:
        self.ram[BASE + 16 * index + 11] = command

    def done(self) -> list[int]:
        """Descriptors that are marked as done; the marks are taken away."""
        found = [n for n in range(COUNT) if self.ram[BASE + 16 * n + 12] & DD]
        for n in found:
            self.ram[BASE + 16 * n + 12] &= ~DD
        return found


@pytest.fixture()
def ring() -> tuple[Ram, object]:
    """A ring of eight descriptors, of which the third wants no report."""
    ram, plugin = Ram(), make_plugin("e1000-dma")
    plugin.attach(ram)
    for n in range(COUNT):
        ram.command(n, 0 if n == 2 else RS | DEXT * (n & 1))
    for offset, value in ((0x3808, 16 * COUNT), (0x3804, 0), (0x3800, BASE), (0x3810, 0), (0x3818, 0)):
        plugin.wrote("BAR0", offset, 4, value)
    return ram, plugin


def test_descriptors_up_to_the_tail_are_done(ring) -> None:
    ram, plugin = ring
    assert ram.done() == []
    plugin.wrote("BAR0", 0x3818, 4, 4)
    assert ram.done() == [0, 1, 3]
    plugin.wrote("BAR0", 0x3818, 4, 2)
    assert ram.done() == [0, 1, 4, 5, 6, 7], "round the end"
    assert plugin.sent == 10


def test_no_ring_no_work(ring) -> None:
    ram, plugin = ring
    before = bytes(ram.ram)
    plugin.wrote("BAR0", 0x3818, 4, COUNT)
    plugin.wrote("BAR1", 0x3818, 4, 2)
    plugin.wrote("BAR0", 0x3818, 2, 2)
    plugin.wrote("BAR0", 0, 4, 1 << 26)
    plugin.wrote("BAR0", 0x3818, 4, 2)
    assert bytes(ram.ram) == before


def test_plugins_by_name_and_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert PLUGINS.builtin_names() == ["e1000-dma"]
    assert run(["list", "plugins"]) == 0
    assert capfd.readouterr().out.startswith("e1000-dma")
    mine = tmp_path / "mine.py"
    mine.write_text("from mmiotools.plugins.e1000_dma import E1000Dma\nclass PLUGIN(E1000Dma):\n    name = 'mine'\n")
    assert make_plugin(str(mine)).name == "mine"
    for text, message in (
        ("", "defines no PLUGIN"),
        ("PLUGIN = 3\n", "cannot be called"),
        ("class PLUGIN:\n    attach = None\n", "its PLUGIN has no reset and no wrote, so it is no plugin"),
        ("1/0\n", "cannot be loaded"),
    ):
        mine.write_text(text)
        with pytest.raises(UsageError, match=message):
            make_plugin(str(mine))


def test_a_plugin_in_process_and_one_that_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "class PLUGIN:\n    name, title, api = 'mine', 'Mine.', 1\n"
        "    def attach(self, host): pass\n    def reset(self): pass\n"
        f"    def wrote(self, *access): open({str(tmp_path / 'log')!r}, 'a').write(f'{{access}}\\n')\n"
    )
    trace = "samples/mmiotrace/nv-test-1.mmiotrace"
    assert run(["replay", trace, "--plugin", str(mine)]) == 0
    assert (tmp_path / "log").read_text() == "('BAR0', 6291776, 4, 0)\n"
    assert run(["replay", trace, "--plugin", str(mine), "--device", "nv-card"]) == 2
    capfd.readouterr()
