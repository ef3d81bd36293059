"""The kernel functions that a driver in machine code may call, by their names in C.

Each takes its arguments from the registers of the call and returns what goes into rax. `pdev` is the one device; it is
opaque, and only its address is checked.
"""

from __future__ import annotations

import errno

from mmiotools.emu.printk import format_text
from mmiotools.emu.space import Space
from mmiotools.engine.kernel import Kernel
from mmiotools.errors import DriverError
from mmiotools.typed import Callable, Iterator, Protocol

#: The address of the device, in no memory.
PDEV = 0xFFFF8880F0000000
#: Its interrupt's number.
IRQ = 16

_MASK = (1 << 64) - 1
_REGISTERS = 6


class Caller(Protocol):
    """The machine code that calls."""

    space: Space
    kernel: Kernel

    def argument(self, number: int) -> int:
        """The argument of that number from 0, 64 bits: from a register, or from the stack from number 6 on."""

    def call(self, address: int, *arguments: int) -> int:
        """Call a function of the driver; what it returned in rax."""


Call = Callable[[Caller], int | None]


def _device(caller: Caller) -> Kernel:
    pdev = caller.argument(0)
    if pdev != PDEV:
        raise DriverError(f"was given {pdev:#x}, which is no device")
    return caller.kernel


def _text(caller: Caller, virt: int) -> bytes:
    try:
        return caller.space.string(virt)
    except KeyError:
        raise DriverError(f"was given text at {virt:#x}, which is not the driver's memory") from None


def _give(caller: Caller, virt: int, value: int, width: int) -> None:
    try:
        caller.space.write(virt, (value & (1 << 8 * width) - 1).to_bytes(width, "little"))
    except KeyError:
        raise DriverError(f"was to store at {virt:#x}, which is not the driver's memory") from None


def _formatted(caller: Caller) -> str:
    arguments: Iterator[int] = (caller.argument(n) for n in range(1, 1 << 30))
    form = _text(caller, caller.argument(0))
    return format_text(form, lambda: next(arguments), lambda virt: _text(caller, virt))


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (value >> 31 << 32)


def _printk(caller: Caller) -> int:
    text = _formatted(caller)
    caller.kernel.printk(text)
    return len(text)


def _trace_printk(caller: Caller) -> int:
    text = _formatted(caller)
    caller.kernel.trace_marker(text)
    return len(text)


def _request_regions(caller: Caller) -> int:
    return _device(caller).pci_request_regions(_text(caller, caller.argument(1)).decode("utf-8", "replace"))


def _ioremap(caller: Caller) -> int:
    return caller.kernel.ioremap(caller.argument(0), caller.argument(1))


def _get_drvdata(caller: Caller) -> int:
    data = _device(caller).pci_get_drvdata()
    return data if isinstance(data, int) else 0


def _delay(unit: int) -> Call:
    return lambda caller: caller.kernel.udelay(unit * (caller.argument(0) & 0xFFFFFFFF))


def _dma_alloc(caller: Caller) -> int:
    virt, bus = _device(caller).dma_alloc(caller.argument(1))
    _give(caller, caller.argument(2), bus, 8)
    return virt


def _request_irq(caller: Caller) -> int:
    number, handler, data = caller.argument(0), caller.argument(1), caller.argument(4)
    if number & 0xFFFFFFFF != IRQ:
        return -errno.EINVAL

    def handle() -> None:
        caller.call(handler, IRQ, data)

    return caller.kernel.request_irq(handle)


def _read_config(width: int) -> Call:
    def read(caller: Caller) -> int:
        _give(caller, caller.argument(2), _device(caller).pci_read_config(_signed(caller.argument(1)), width), width)
        return 0

    return read


def _write_config(width: int) -> Call:
    def write(caller: Caller) -> int:
        value = caller.argument(2) & (1 << 8 * width) - 1
        _device(caller).pci_write_config(_signed(caller.argument(1)), width, value)
        return 0

    return write


def _stack_smashed(caller: Caller) -> int:
    raise DriverError("the stack was overwritten (the canary of a function has changed)")


CALLS: dict[str, Call] = {
    "__stack_chk_fail": _stack_smashed,
    "dma_alloc": _dma_alloc,
    "dma_free": lambda caller: _device(caller).dma_free(caller.argument(1)),
    "free_irq": lambda caller: caller.kernel.free_irq(),
    "ioremap": _ioremap,
    "ioremap_nocache": _ioremap,
    "iounmap": lambda caller: caller.kernel.iounmap(caller.argument(0)),
    "mdelay": _delay(1000),
    "msleep": _delay(1000),
    "ndelay": lambda caller: caller.kernel.udelay((caller.argument(0) & 0xFFFFFFFF) // 1000),
    "pci_disable_device": lambda caller: _device(caller).pci_disable_device(),
    "pci_enable_device": lambda caller: _device(caller).pci_enable_device(),
    "pci_get_drvdata": _get_drvdata,
    "pci_irq_vector": lambda caller: IRQ if _device(caller) and not caller.argument(1) & 0xFFFFFFFF else -errno.EINVAL,
    "pci_read_config_byte": _read_config(1),
    "pci_read_config_dword": _read_config(4),
    "pci_read_config_word": _read_config(2),
    "pci_release_regions": lambda caller: _device(caller).pci_release_regions(),
    "pci_request_regions": _request_regions,
    "pci_resource_len": lambda caller: _device(caller).pci_resource_len(_signed(caller.argument(1))),
    "pci_resource_start": lambda caller: _device(caller).pci_resource_start(_signed(caller.argument(1))),
    "pci_set_drvdata": lambda caller: _device(caller).pci_set_drvdata(caller.argument(1)),
    "pci_set_master": lambda caller: _device(caller).pci_set_master(),
    "pci_write_config_byte": _write_config(1),
    "pci_write_config_dword": _write_config(4),
    "pci_write_config_word": _write_config(2),
    "printk": _printk,
    "_printk": _printk,
    "request_irq": _request_irq,
    "trace_printk": _trace_printk,
    "udelay": _delay(1),
}


def make_call(caller: Caller, name: str) -> int:
    """Call a kernel function for the driver; what goes into rax. Raises DriverError that names the function."""
    try:
        result = CALLS[name](caller)
    except DriverError as error:
        raise DriverError(f"{name}() {error}") from error
    return (result or 0) & _MASK
