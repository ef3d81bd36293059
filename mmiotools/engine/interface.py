"""What meets at the bus: devices, their host, and drivers. Harness, mock card and device servers all meet here.

A device never sleeps and never reads real time; it keeps its own log of what it saw, independent of the tracer.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mmiotools.trace.header import PciDevice
from mmiotools.typed import Any, Callable, ClassVar, Generator, Iterable, Iterator, Mapping, NamedTuple

#: Name of the region that is a device's configuration space; the BARs are "BAR0" … "BAR5" and "ROM".
CONFIG = "config"


class Seen(NamedTuple):
    """One access as the device saw it. `op` is "R" or "W"; `value` is what was returned or stored."""

    op: str
    region: str
    offset: int
    width: int
    value: int


class Host(Protocol):
    """What a device may ask of the machine it sits in."""

    def now(self) -> int:
        """Virtual time, nanoseconds."""

    def irq(self, line: int, level: int) -> None:
        """Raise or lower an interrupt line, or send a vector (level 1)."""

    def dma_read(self, address: int, n: int) -> bytes:
        """n bytes of memory at a bus address."""

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes at a bus address."""


class Device(Protocol):
    """An emulated PCI function: a model, or a mock card that answers from a recording."""

    api: ClassVar[int]
    name: str
    title: str

    @property
    def pci(self) -> PciDevice:
        """Ids, BARs and driver name, as a DEVICE event will say them."""

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset, in order: the truth that recordings are checked against."""

    def attach(self, host: Host) -> None:
        """Called once before the first access."""

    def read(self, region: str, offset: int, width: int) -> int:
        """The value of `width` bytes at `offset` in the region."""

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Store the low `width` bytes of `value`."""

    def reset(self) -> None:
        """Back to power-on state; the log of accesses is emptied."""

    def snapshot(self) -> bytes:
        """The whole state, opaque."""

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave."""


@runtime_checkable
class Timed(Protocol):
    """A device that does something by itself when time has passed. Who runs it asks after every access, and while the
    driver is idle, when that will be, and calls `tick` then.
    """

    def due(self) -> int | None:
        """When `tick` is to be called, in the host's time, nanoseconds; None for not at all."""

    def tick(self) -> None:
        """It is that time, or later: raise what is to be raised."""


class Step(NamedTuple):
    """One access to be made, of 1, 2, 4 or 8 bytes. `time` is nanoseconds, `value` what a write stores."""

    time: int
    op: str
    region: str
    offset: int
    width: int
    value: int


@runtime_checkable
class Pipelined(Protocol):
    """A device that is far away: accesses go to it before the answers to earlier ones are back."""

    name: str

    def attach(self, host: Host) -> None:
        """Called once before the first access."""

    def answers(self, steps: Iterable[Step]) -> Iterator[int | None]:
        """What each access gave, in order: a read's value, None for a write. Raises QemuError when the device has
        gone; what it gave before stands.
        """


class Plugin(Protocol):
    """What a recording cannot tell of a card, beside a mock card: what it does to memory by itself."""

    api: ClassVar[int]
    name: str
    title: str

    def attach(self, host: Host) -> None:
        """Called once before the first access."""

    def wrote(self, region: str, offset: int, width: int, value: int) -> None:
        """The driver has written to the card; called before its write returns."""

    def reset(self) -> None:
        """Back to power-on state."""


@runtime_checkable
class Reading(Protocol):
    """A plugin to which it matters what the driver reads as well."""

    def read(self, region: str, offset: int, width: int) -> int:
        """The driver has read from the card, before its read returns; the value does not count."""


@runtime_checkable
class Marking(Protocol):
    """A device that has something to say in the trace: `mark` is set to what writes a MARK."""

    mark: Callable[[str], None]


class Kernel(Protocol):
    """What a bundled driver may call: the part of a kernel's driver API that the 2007 drivers needed.

    Virtual addresses are plain integers, as in the kernel: `readl(base + 0x101000)`.
    """

    def pci_enable_device(self) -> int:
        """0, or a negative errno."""

    def pci_disable_device(self) -> None:
        """Undo pci_enable_device."""

    def pci_request_regions(self, name: str) -> int:
        """0, or -EBUSY."""

    def pci_release_regions(self) -> None:
        """Undo pci_request_regions."""

    def pci_set_master(self) -> None:
        """Allow the device to bus-master."""

    def pci_resource_start(self, bar: int) -> int:
        """Physical address of a BAR."""

    def pci_resource_len(self, bar: int) -> int:
        """Bytes of a BAR."""

    def pci_set_drvdata(self, data: Any) -> None:
        """Remember a driver's private data."""

    def pci_get_drvdata(self) -> Any:
        """What pci_set_drvdata was given."""

    def ioremap(self, phys: int, length: int) -> int:
        """Map device memory; the virtual address of its first byte. Traced when the tracer is on."""

    def iounmap(self, virt: int) -> None:
        """Undo an ioremap."""

    def read(self, virt: int, width: int) -> int:
        """Load `width` bytes (1, 2, 4, 8) through the CPU and the page tables."""

    def write(self, virt: int, width: int, value: int) -> None:
        """Store `width` bytes through the CPU and the page tables."""

    def readb(self, virt: int) -> int: ...
    def readw(self, virt: int) -> int: ...
    def readl(self, virt: int) -> int: ...
    def readq(self, virt: int) -> int: ...
    def writeb(self, value: int, virt: int) -> None: ...
    def writew(self, value: int, virt: int) -> None: ...
    def writel(self, value: int, virt: int) -> None: ...
    def writeq(self, value: int, virt: int) -> None: ...

    def printk(self, text: str) -> None:
        """A line for the kernel log."""

    def request_irq(self, handler: Callable[[], None]) -> int:
        """Call `handler` after the instruction that made the device raise its line, as long as the line is up; 0."""

    def free_irq(self) -> None:
        """Undo request_irq."""

    def dma_alloc(self, length: int) -> tuple[int, int]:
        """Zeroed RAM for the device to master: (virtual address, bus address), page aligned; (0, 0) if it fails."""

    def dma_free(self, virt: int) -> None:
        """Undo dma_alloc."""

    def pci_read_config(self, offset: int, width: int) -> int:
        """Read configuration space; not memory-mapped, so not traced."""

    def pci_write_config(self, offset: int, width: int, value: int) -> None:
        """Write configuration space."""

    def memcpy_fromio(self, virt: int, length: int) -> bytes:
        """`length` bytes of device memory, four at a time and the rest one by one."""

    def memcpy_toio(self, virt: int, data: bytes) -> None:
        """Store bytes in device memory, four at a time and the rest one by one."""

    def memset_io(self, virt: int, byte: int, length: int) -> None:
        """Fill device memory by a REP STOS of bytes."""

    def trace_marker(self, text: str) -> None:
        """A MARK in the trace."""

    def udelay(self, microseconds: int) -> None:
        """Let virtual time pass."""


class Running(Protocol):
    """A program on another CPU: `yield task.done` waits for its end, `result` is what it returned."""

    result: Any

    def done(self) -> bool: ...


class SmpKernel(Kernel, Protocol):
    """What a driver for several CPUs may call besides. It is a generator: it yields instructions (see
    `engine.instructions`) and is sent what they read, or yields something to wait for.

    A plain call of `Kernel` works there too, `readl` say, but runs in one go: the fault, the access and the trap with
    no other CPU in between, however often the schedule is varied. So it must not have to wait for another CPU. Where
    one is in the middle of a step and holds a lock that the access needs (quirk lock-across-step, or the policy
    stop-the-world), it could wait for ever: that is a `Deadlock`. A yielded `Load` waits its turn.
    """

    @property
    def cpus(self) -> int:
        """How many CPUs there are."""

    def start(self, number: int, program: Generator[Any, Any, Any]) -> Running:
        """Run a generator on a CPU."""


class Driver(Protocol):
    """A driver. `versions` maps each version's name to its probe function; "nv-test" means "nv-test@1".

    A probe function returns 0 or a negative errno. One that takes an `SmpKernel` is a generator that returns it.
    """

    api: ClassVar[int]
    name: str
    title: str
    device: str
    versions: Mapping[str, Callable[..., Any]]
