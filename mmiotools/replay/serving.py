"""The mock card of a tape, served to somebody else's machine, and the report of it, however that ends."""

from __future__ import annotations

import time

from mmiotools.engine.inject import Injector, Tally
from mmiotools.engine.inject_data import Rule
from mmiotools.engine.interface import Device
from mmiotools.errors import EXIT_DIFFERENT, EXIT_INTERRUPTED, EXIT_OK, MmioToolsError, ProtocolError
from mmiotools.replay.card import MockCard
from mmiotools.replay.interrupts import Delivered
from mmiotools.replay.report import Report
from mmiotools.replay.served_trace import ServedTrace
from mmiotools.replay.shadow import Shadow
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.serve.loop import LATE, STOPPED, Connection, Stop, serve
from mmiotools.trace.batch import Batch
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, Sequence

#: Class codes of what drivers of these names are for: a guest finds some drivers by class, which a trace does not say.
CLASSES = {
    "nvme": 0x010802,
    "ahci": 0x010601,
    "e100": 0x020000,
    "e1000": 0x020000,
    "e1000e": 0x020000,
    "igb": 0x020000,
    "igc": 0x020000,
    "r8169": 0x020000,
    "8139cp": 0x020000,
    "8139too": 0x020000,
    "tg3": 0x020000,
    "sky2": 0x020000,
    "vmxnet3": 0x020000,
    "bochs-drm": 0x030000,
    "nouveau": 0x030000,
    "radeon": 0x030000,
    "amdgpu": 0x030000,
    "i915": 0x030000,
    "snd_hda_intel": 0x040300,
    "sdhci-pci": 0x080501,
    "uhci_hcd": 0x0C0300,
    "ohci-pci": 0x0C0310,
    "ehci-pci": 0x0C0320,
    "xhci_hcd": 0x0C0330,
}


class Serving:
    """One mock card and its host, before, while and after they are served.

    card    what `mock_card` made of the tape
    rules   of fault injection between the driver and the mock card, whose books are of what reaches it; by `seed`
    config  configuration space of the real card, where it is known; else what the recording has
    class_code  class << 16 | subclass << 8 | interface, where that is known; else what the recorded driver is for
    wide    may BARs take 64 bits?

    Raises ExpressionError for a rule that does not fit the card.
    """

    def __init__(
        self,
        tape: Tape,
        card: tuple[MockCard, Shadow | None],
        *,
        rules: Sequence[Rule] = (),
        seed: int = 0,
        config: bytes = b"",
        class_code: int = 0,
        wide: bool = True,
    ) -> None:
        self.host = ServedHost()
        self.card, self._shadow = card
        self._injector = Injector(self.card, rules, seed) if rules else None
        device: Device = self.card if self._injector is None else self._injector
        device.attach(self.host)
        self.status = EXIT_OK
        self.problem: str | None = None
        self._tape = tape
        self._connection: Connection | None = None
        code = class_code or CLASSES.get(tape.pci.driver, 0)
        # Ports are in no trace that is made by probing memory.
        ports = {bar.number for bar in tape.pci.bars if bar.space == "port" and bar.name not in tape.bars}
        self.function = Function(
            device,
            wide=wide,
            config=config or tape.config,
            class_code=code,
            plain=ports,
            rewind=lambda: None,
            trim=self._trim,
        )

    @property
    def tally(self) -> Sequence[Tally]:
        """What became of each rule."""
        return () if self._injector is None else self._injector.tally

    def _trim(self) -> None:
        self.card.forget()
        if self._shadow is not None:
            self._shadow.forget()
        if self._injector is not None:
            self._injector.seen.clear()

    def record(self, sink: Callable[[Batch], None]) -> ServedTrace:
        """Make a trace of what the driver does; `flush` it at the end."""
        trace = ServedTrace(self.function, self.host, self._tape.pci, sink)
        if self._injector is not None:
            self._injector.mark = trace.mark
        return trace

    def run(self, connection: Connection, stop: Stop, deadline: float | None) -> bool:
        """Serve one connection to its end; whether the peer has hung up, so that nothing is wrong so far.

        Never raises for what the peer does, or for what a plugin raises: that is the `problem`.
        """
        self._connection = connection
        begun = time.monotonic()
        try:
            ended = serve(connection, self.function, self.host, stop, deadline)
        except ProtocolError as error:
            self.fail(f"it broke the protocol: {error}", error.status)
        except MmioToolsError as error:
            self.fail(str(error), error.status)
        except Exception as error:  # a plugin may fail in any way, and the report so far is wanted
            self.fail(f"the card failed: {error!r}", MmioToolsError.status)
        else:
            if ended == STOPPED:
                self.fail("interrupted", EXIT_INTERRUPTED)
            elif ended == LATE:
                self.fail(f"it was still running after {time.monotonic() - begun:.0f} s", EXIT_DIFFERENT)
        finally:
            connection.close()
        return self.problem is None

    def fail(self, problem: str, status: int) -> None:
        """Why the run did not come to its end; the first one counts."""
        if self.problem is None:
            self.problem, self.status = problem, status

    def report(self, transport: str, policy: str, *, fuzz: int = 0, names: Names | None = None) -> Report:
        """What came of it so far; `policy`, `fuzz` and `names` are those of the report."""
        return Report(
            self.card.finish(),
            policy,
            f"a guest's driver by {transport}",
            self.card.pci,
            interrupts=self._interrupts(),
            model=None if self._shadow is None else self._shadow.device.name,
            fuzz=fuzz,
            names=names,
            stray=self.function.stray,
            problem=self.problem,
            status=self.status,
            limits=self._limits(),
        )

    def _interrupts(self) -> Delivered:
        if self._shadow is not None and self._shadow.interrupts:
            return Delivered(self._tape.irqs, self._shadow.raised, 0, f"model {self._shadow.device.name}")
        return self.card.interrupts

    def _limits(self) -> list[str]:
        found = list(self._connection.notes) if self._connection is not None else ["nobody connected"]
        if self.host.lost:
            found.append(f"{self.host.lost} interrupts could not be delivered: the driver has no way for them")
        if self.host.memory.outside:
            found.append(f"{self.host.memory.outside} times the card reached for memory that the guest does not share")
        if self.function.aside:
            found.append(f"{self.function.aside} accesses to ports were not compared: the recording has none of them")
        if self.function.resets:
            found.append(f"the card was reset {self.function.resets} times: the recording went on where it was")
        return found
