"""What QEMU is told, and which transport is taken, without a QEMU."""

from __future__ import annotations

import pytest

from mmiotools.errors import UsageError
from mmiotools.replay.under_qemu import choose_transport, qemu_arguments, slot_of
from mmiotools.serve.qemu import Qemu
from mmiotools.trace.header import PciDevice


def text(words: list[str], transport: str = "vfio-user") -> str:
    return " ".join(qemu_arguments(words, transport))


def test_what_is_needed_and_not_said_is_added() -> None:
    plain = text(["-kernel", "k"], "mpqemu")
    assert plain.endswith("-kernel k")
    for part in ("-nodefaults", "-no-reboot", "-display none", "-serial stdio", "-accel tcg", "-m 512M"):
        assert part in plain
    assert "memory-backend-memfd,id=mmiotools-ram,size=512M,share=on -machine memory-backend=mmiotools-ram" in plain
    assert "-accel" not in text([])


def test_what_is_said_is_kept() -> None:
    told = text(["-m", "1G,slots=2", "-nographic", "-M", "q35"])
    assert "size=1G,share=on" in told and "-serial" not in told and "-display" not in told and "-m 512M" not in told
    assert "size=300M,share=on" in text(["--m", "300"])
    own = [
        "-m",
        "1G",
        "-object",
        "memory-backend-file,id=x,size=1G,share=on,mem-path=/x",
        "-machine",
        "memory-backend=x",
    ]
    assert "mmiotools-ram" not in text(own)
    for words in (["-enable-kvm"], ["-accel", "kvm"], ["-machine", "pc,accel=kvm"]):
        with pytest.raises(UsageError, match="without an accelerator"):
            text(words, "mpqemu")
    with pytest.raises(UsageError, match="'-m ' cannot be understood"):
        text(["-m"])


def test_the_slot_is_the_recorded_one_where_it_is_free() -> None:
    assert [slot_of(PciDevice(bdf, 1, 2)) for bdf in (0x18, 0x28, 0x00, 0xF8, 0x0100)] == [3, 5, 3, 3, 3]


class Known(Qemu):
    """A QEMU with these devices."""

    proxy_device = property(lambda self: "proxy" in self.path)
    vfio_user = property(lambda self: "vfio" in self.path)


def test_the_transport_that_a_qemu_can() -> None:
    assert choose_transport(Known("/vfio-proxy", (10, 1, 0))) == "vfio-user"
    assert choose_transport(Known("/vfio-proxy", (10, 1, 0)), "mpqemu") == "mpqemu"
    assert choose_transport(Known("/proxy", (7, 2, 0))) == "mpqemu"
    with pytest.raises(UsageError, match="cannot use a card by vfio-user: it can mpqemu"):
        choose_transport(Known("/proxy", (7, 2, 0)), "vfio-user")
    with pytest.raises(UsageError, match="cannot use a card from outside: that takes vfio-user-pci"):
        choose_transport(Known("/old", (9, 0, 0)))
