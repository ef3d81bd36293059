"""The mmio-trace layer: ioremap, iounmap and the faults of the kmmio layer become the events that a kernel prints."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

from mmiotools.engine.cpu import Cpu, Operand
from mmiotools.engine.decode import Move, decode
from mmiotools.engine.kmmio import Kmmio, Probe
from mmiotools.events import Event, Kind
from mmiotools.trace.header import PciDevice

Emit: TypeAlias = Callable[[Event], None]

#: Version of the log that Linux prints since 2007.
VERSION = "20070824"

#: Bytes of an instruction that could not be decoded which are kept.
OPCODE_BYTES = 3


# Looking up a member of an enumeration is slow, and this happens for every access.
_READ, _WRITE = Kind.READ, Kind.WRITE


class _Mapping(Probe):
    """A traced ioremap: its probe, its id and its physical address."""

    __slots__ = ("id", "phys")

    def __init__(self, virt: int, length: int, number: int, phys: int, tracer: MmioTrace) -> None:
        super().__init__(virt, length, tracer.pre, tracer.post)
        self.id = number
        self.phys = phys


class MmioTrace:
    """Traces one machine. Every access to a mapping that was made while this runs is emitted exactly once.

    Times are whole microseconds of the machine's clock, as Linux prints them; pc and pid are 0, which is what Linux
    prints unless it was booted with trace_pc. `sink_error` is what `emit` raised, if it did.
    """

    def __init__(self, kmmio: Kmmio, emit: Emit) -> None:
        self.kmmio = kmmio
        self.sink_error: BaseException | None = None
        self._sink = emit
        self._machine = kmmio.machine
        self._ids = itertools.count(1)
        self._mappings: dict[int, _Mapping] = {}
        #: What each CPU is in the middle of, from pre to post handler, oldest first: a move, value, opcode bytes.
        self._pending: list[list[tuple[Move | None, int, bytes]]] = [[] for _ in self._machine.cpus]
        self._machine.abort_handlers.append(self._abort)

    def begin(self, device: PciDevice) -> None:
        """The lines that a trace starts with: version and devices."""
        self._emit(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": VERSION}))
        self._emit(Event(Kind.DEVICE, extra=device.extra()))

    def marker(self, text: str) -> None:
        """A MARK, as written to trace_marker."""
        self._emit(Event(Kind.MARK, time=self._time(), extra={"text": text.encode("utf-8", "surrogateescape")}))

    def ioremap(self, phys: int, virt: int, length: int) -> None:
        """A mapping was made: `length` bytes from `virt` are those from `phys`. Raises ProbeError."""
        mapping = _Mapping(virt, length, next(self._ids), phys, self)
        extra = {"virt": virt, "length": length}
        self._emit(Event(Kind.MAP, time=self._time(), map=mapping.id, addr=phys, pc=0, pid=0, extra=extra))
        self.kmmio.register(mapping)
        self._mappings[virt] = mapping

    def iounmap(self, virt: int) -> None:
        """A mapping goes away; an address that is none is traced with the id -1, as Linux does."""
        mapping = self._mappings.pop(virt, None)
        if mapping is not None:
            self.kmmio.unregister(mapping)
        number = -1 if mapping is None else mapping.id
        self._emit(Event(Kind.UNMAP, time=self._time(), map=number, pc=0, pid=0))

    # -- handlers -----------------------------------------------------------------------------------------

    def pre(self, probe: Probe, cpu: Cpu, operand: Operand) -> None:
        """Before the access: understand the instruction, and take the value if it writes one."""
        code = cpu.fetch()
        move = decode(code)
        value, opcode = 0, b""
        if move is None:
            opcode = code[:OPCODE_BYTES]
        elif move.write:
            value = cpu.ax if move.immediate is None else move.immediate
        self._pending[cpu.number].append((move, value, opcode))

    def post(self, probe: Probe, cpu: Cpu, operand: Operand) -> None:
        """After the access: take the value if it read one, and emit the event."""
        assert isinstance(probe, _Mapping)
        move, value, opcode = self._pending[cpu.number].pop(0)
        phys = probe.phys + operand.virt - probe.addr
        if move is None:
            extra = {"opcode": opcode}
            self._emit(Event(Kind.UNKNOWN, self._time(), map=probe.id, addr=phys, pc=0, pid=0, extra=extra))
            return
        if not move.write:
            value = cpu.ax
        value &= (1 << 8 * move.width) - 1
        kind = _WRITE if move.write else _READ
        self._emit(Event(kind, self._time(), move.width, probe.id, phys, None, None, value, 0, 0))

    def _abort(self, cpu: Cpu) -> None:
        self._pending[cpu.number].clear()

    def _time(self) -> int:
        now = self._machine.now
        return now - now % 1000

    def _emit(self, event: Event) -> None:
        try:
            self._sink(event)
        except BaseException as error:
            self.sink_error = error
            raise
