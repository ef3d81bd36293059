"""Interrupts into a QEMU from beside it, through its qtest socket: the way in for a card that has no other."""

from __future__ import annotations

import select

from mmiotools.errors import QemuError
from mmiotools.serve.listen import Listener
from mmiotools.serve.messages import Message
from mmiotools.serve.qtest import Qtest

#: Where the I/O APIC of a machine is. That of `pc` counts interrupts as the firmware does; on `q35` the four pins of a
#: slot go round the four inputs from 20 on, whatever the firmware writes.
_PC, _Q35 = "/machine/i440fx/ioapic", "/machine/q35/ioapic"
_Q35_FIRST = 20


class QtestInjector:
    """Sets the interrupt input of a PCI slot's pin A, and writes message-signalled interrupts.

    slot  where the card is on the machine's first bus
    """

    def __init__(self, qtest: Qtest, slot: int) -> None:
        self._qtest = qtest
        self._slot = slot
        self._q35: bool | None = None

    def line(self, number: int, level: int) -> bool:
        """Set the line; `number` is what the firmware wrote into the configuration. Raises QemuError."""
        if self._q35 is None:
            self._q35 = not self._try(_PC, number, level)
            if not self._q35:
                return True
        self._set(_Q35 if self._q35 else _PC, _Q35_FIRST + self._slot % 4 if self._q35 else number, level)
        return True

    def message(self, message: Message) -> bool:
        """Write a message where the card would. Raises QemuError."""
        self._qtest.write(message.address, 4, message.data)
        return True

    def _set(self, path: str, number: int, level: int) -> None:
        self._qtest.set_irq_in(path, "unnamed-gpio-in", number, level)

    def _try(self, path: str, number: int, level: int) -> bool:
        """Whether the machine has such an I/O APIC."""
        try:
            self._set(path, number, level)
        except QemuError as error:
            if "Unknown device" not in str(error):
                raise
            return False
        return True


class LateInjector:
    """The same for a QEMU that connects its qtest to a socket at any time, or never; closed with `close`."""

    def __init__(self, listener: Listener, slot: int) -> None:
        self._listener = listener
        self._slot = slot
        self._qtest: Qtest | None = None
        self._injector: QtestInjector | None = None

    def line(self, number: int, level: int) -> bool:
        """Set the line; False when no QEMU has connected. Raises QemuError."""
        return self._there().line(number, level) if self._connected() else not level

    def message(self, message: Message) -> bool:
        """Write a message; False when no QEMU has connected. Raises QemuError."""
        return self._there().message(message) if self._connected() else False

    def close(self) -> None:
        """Hang up."""
        if self._qtest is not None:
            self._qtest.close()

    def _there(self) -> QtestInjector:
        assert self._injector is not None
        return self._injector

    def _connected(self) -> bool:
        if self._injector is None:
            poll = select.poll()
            poll.register(self._listener, select.POLLIN)
            if poll.poll(0):
                self._qtest = Qtest(self._listener.accept())
                self._injector = QtestInjector(self._qtest, self._slot)
        return self._injector is not None
