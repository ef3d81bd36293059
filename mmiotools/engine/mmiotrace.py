"""The mmio-trace layer: ioremap, iounmap and what the probes of the kmmio layer see become the events of a trace."""

from __future__ import annotations

import itertools

from mmiotools.engine.cpu import Cpu
from mmiotools.engine.kmmio import Kmmio
from mmiotools.engine.probes import Access, Probe, ProbeError
from mmiotools.events import NOTHING, Event, Kind
from mmiotools.trace.header import PciDevice
from mmiotools.typed import Any, Callable, Iterable, Mapping, TypeAlias

Emit: TypeAlias = Callable[[Event], None]

#: Version of the log that Linux prints since 2007.
VERSION = "20070824"

# Looking up a member of an enumeration is slow, and so is a call with a dozen names; this happens for every access.
_READ, _WRITE, _UNKNOWN = Kind.READ, Kind.WRITE, Kind.UNKNOWN
_new = tuple.__new__


class _Mapping(Probe):
    """A traced part of an ioremap: its probe, the id of the mapping and the physical address."""

    __slots__ = ("earlier", "id", "phys")

    def __init__(self, virt: int, length: int, number: int, phys: int, tracer: MmioTrace) -> None:
        super().__init__(virt, length, None, tracer.post)
        self.id = number
        self.phys = phys
        #: The part of the same mapping before this one: an access that touches both is one access.
        self.earlier: _Mapping | None = None


class MmioTrace:
    """Traces one machine. Every access to a mapping that was made while this runs is emitted exactly once.

    only    ranges [start, end) of physical addresses; accesses outside them are let through. None for everything
    Times are whole microseconds of the machine's clock, as Linux prints them; pc and pid are 0, which is what Linux
    prints unless it was booted with trace_pc. The CPU is said when there is more than one. `sink_error` is what
    `emit` raised, if it did; `log` says which mappings could not be probed.
    """

    def __init__(self, kmmio: Kmmio, emit: Emit, only: Iterable[tuple[int, int]] | None = None) -> None:
        self.kmmio = kmmio
        self.sink_error: BaseException | None = None
        self.log = kmmio.probes.log
        self._sink = emit
        self._only = None if only is None else _merged(only)
        self._machine = kmmio.machine
        self._smp = len(self._machine.cpus) > 1
        self._ids = itertools.count(1)
        #: virtual address of a mapping → its id, and the probes that were registered for it
        self._mappings: dict[int, tuple[int, list[_Mapping]]] = {}
        #: virtual ranges [start, end) that are meant to be traced, whatever became of their probes
        self._meant: dict[int, list[tuple[int, int]]] = {}

    def begin(self, device: PciDevice) -> None:
        """The lines that a trace starts with: version and devices."""
        self._emit(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": VERSION}))
        self._emit(Event(Kind.DEVICE, extra=device.extra()))

    def marker(self, text: str) -> None:
        """A MARK, as written to trace_marker."""
        time = self._machine.now
        mark = text.encode("utf-8", "surrogateescape")
        self._emit(Event(Kind.MARK, time=time - time % 1000, cpu=self._cpu(), extra={"text": mark}))

    def ioremap(self, phys: int, virt: int, length: int) -> None:
        """A mapping was made: `length` bytes from `virt` are those from `phys`."""
        number = next(self._ids)
        extra = {"virt": virt, "length": length}
        self._control(Kind.MAP, number, phys, extra)
        probes: list[_Mapping] = []
        for start, end in self._wanted(phys, length):
            probe = _Mapping(virt + start - phys, end - start, number, start, self)
            try:
                self.kmmio.register(probe)
            except ProbeError as error:
                self.log.append(f"mmiotrace: accesses to {start:#x}-{end - 1:#x} are not recorded: {error}")
            else:
                probe.earlier = probes[-1] if probes else None
                probes.append(probe)
        self._mappings[virt] = number, probes
        self._meant[virt] = [(virt + start - phys, virt + end - phys) for start, end in self._wanted(phys, length)]

    def iounmap(self, virt: int) -> None:
        """A mapping goes away; an address that is none is traced with the id -1, as Linux does."""
        number, probes = self._mappings.pop(virt, (-1, []))
        self._meant.pop(virt, None)
        for probe in probes:
            self.kmmio.unregister(probe)
        self._control(Kind.UNMAP, number, None, NOTHING)

    def means(self, virt: int, width: int) -> bool:
        """Is an access of `width` bytes at `virt` to be traced?"""
        return any(start < virt + width and virt < end for parts in self._meant.values() for start, end in parts)

    def _wanted(self, phys: int, length: int) -> list[tuple[int, int]]:
        """The parts [start, end) of a mapping that are to be probed."""
        if self._only is None:
            return [(phys, phys + length)]
        parts = ((max(phys, start), min(phys + length, end)) for start, end in self._only)
        return [(start, end) for start, end in parts if start < end]

    def post(self, probe: Probe, cpu: Cpu, access: Access) -> None:
        """After an access: emit the event."""
        assert type(probe) is _Mapping
        write, virt, width, value, time, opcode = access
        start = probe.addr
        if virt < start and probe.earlier is not None and virt < probe.earlier.addr + probe.earlier.length:
            return
        kind = _WRITE if write else _READ if write is not None else _UNKNOWN
        number = cpu.number if self._smp else None
        extra = NOTHING if write is not None else {"opcode": opcode}
        phys = probe.phys + virt - start
        row = (kind, time - time % 1000, width, probe.id, phys, None, None, value, 0, 0, number, extra)
        try:
            self._sink(_new(Event, row))
        except BaseException as error:
            self.sink_error = error
            raise

    def _control(self, kind: Kind, number: int, phys: int | None, extra: Mapping[str, Any]) -> None:
        time = self._machine.now
        self._emit(Event(kind, time - time % 1000, None, number, phys, pc=0, pid=0, cpu=self._cpu(), extra=extra))

    def _cpu(self) -> int | None:
        return self._machine.current.number if self._smp else None

    def _emit(self, event: Event) -> None:
        try:
            self._sink(event)
        except BaseException as error:
            self.sink_error = error
            raise


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges [start, end) in order, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
