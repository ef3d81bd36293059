"""Sparse memory and configuration space."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmiotools.devices.storage import COMMAND, ConfigSpace, SparseMemory
from mmiotools.trace.header import ROM, Bar, PciDevice

ACCESS = st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 3 * 4096), st.integers(0, (1 << 64) - 1))


@given(st.lists(ACCESS, max_size=30), ACCESS)
def test_memory_is_a_flat_little_endian_array(writes, probe):
    memory, model = SparseMemory(), bytearray(4 * 4096)
    for width, offset, value in writes:
        memory.write(offset, width, value)
        model[offset : offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    width, offset, _ = probe
    wanted = int.from_bytes(model[offset : offset + width], "little")
    assert memory.read(offset, width) == wanted
    again = SparseMemory()
    again.load(memory.dump())
    assert again.read(offset, width) == wanted


def test_configuration_header():
    pci = PciDevice(
        0x18, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000), Bar(1, 0xC000, 0x40, 1), Bar(ROM, 0x80000, 1))
    )
    config = ConfigSpace(pci, class_code=0x020000, revision=3)
    assert config.read(0, 4) == 0x100E8086
    assert config.read(8, 4) == 0x02000003
    assert config.read(0x10, 4) == 0xFEBC0000
    assert config.read(0x14, 4) == 0xC001
    assert config.read(0x30, 4) == 0x80000
    assert config.read(0x3C, 2) == 0x010B
    assert config.read(0x100, 4) == 0xFFFFFFFF


def test_only_command_and_interrupt_line_can_be_written():
    config = ConfigSpace(PciDevice(0, 0x10DE, 0x286, 11))
    for offset in range(0, 256, 4):
        config.write(offset, 4, 0xFFFFFFFF)
    assert config.read(0, 4) == 0x028610DE
    assert config.read(COMMAND, 4) == 0x0547
    assert config.command == 0x0547
    assert config.read(0x10, 4) == 0
    assert config.read(0x3C, 2) == 0x01FF
    config.reset()
    assert config.command == 0
