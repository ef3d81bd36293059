"""The qtest protocol: a client that makes accesses and interrupts in a QEMU, and moves its clock.

Lines of text over a stream; QEMU answers each command with one line, in order, and tells interrupt lines that are
watched in between (`IRQ raise 4`). QEMU inherits its end of the socket, so that nothing lies in a folder. Facts about
the protocol: the comment at the head of QEMU's system/qtest.c (softmmu/qtest.c before 9.0).
"""

from __future__ import annotations

import os
import re
import socket

from mmiotools.errors import QemuError
from mmiotools.serve.qemu import QemuProcess
from mmiotools.typed import Callable, Iterable, Iterator

#: Commands that may be under way without their answers; both sides' socket buffers hold far more.
WINDOW = 256

#: Bytes of a line; answers to reads of memory blocks are the longest.
_LONGEST = 1 << 20
_SUFFIX = {1: "b", 2: "w", 4: "l", 8: "q"}
_PORT_SUFFIX = {1: "b", 2: "w", 4: "l"}
_IRQ = re.compile(r"IRQ (raise|lower) (\d{1,9})")
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,20}")


class QtestSocket:
    """Both ends of the socket between us and a QEMU that is yet to be started; use it as a context manager.

    arguments  what QEMU needs on its command line. Without the log it would echo every command on standard error
    fds        what it has to inherit
    """

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.fds = (self._theirs.fileno(),)
        # QEMU looks for the character device that it made itself, which has this name.
        held = f"socket,id=qtest,fd={self.fds[0]}"
        self.arguments = ["-chardev", held, "-qtest", "chardev:qtest", "-qtest-log", os.devnull]

    def __enter__(self) -> QtestSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ours.close()
        self._theirs.close()

    def client(self, qemu: QemuProcess, timeout: float = 30.0) -> Qtest:
        """The client, once QEMU has been started. Commands may be sent at once; QEMU answers when it is ready."""
        self._theirs.close()
        return Qtest(self._ours, qemu, timeout)


class Qtest:
    """A connection to a QEMU; use it as a context manager.

    One command at a time: `read`, `write` and so on. Many: `send` commands and `receive` their answers in order,
    at most `WINDOW` of them under way, or let `run` do it. Every failure is a QemuError: QEMU has ended, says no, says
    something that is no answer, or says nothing for `timeout` seconds. After one of the last three the connection is
    of no use any more, because answers could no longer be told apart.

    stream   a connected socket, which is closed with the client
    qemu     the process at the other end, for messages that say how it ended
    on_irq   called with number and level when a watched line changes, before the answer that is read next
    """

    def __init__(self, stream: socket.socket, qemu: QemuProcess | None = None, timeout: float = 30.0) -> None:
        stream.settimeout(timeout)
        self.on_irq: Callable[[int, bool], None] = lambda line, level: None
        self._stream = stream
        self._qemu = qemu
        self._timeout = timeout
        self._unsent: list[str] = []
        self._pending = 0
        self._buffer = b""
        self._lines: list[bytes] = []

    def __enter__(self) -> Qtest:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a QEMU with accel=qtest goes on running."""
        self._stream.close()

    # -- many commands ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Commands whose answers were not received yet."""
        return self._pending

    def send(self, command: str) -> None:
        """Queue one command, which must be a line of ASCII without its end; `receive` or `flush` sends it.

        Raises ValueError when more than `WINDOW` would be under way.
        """
        if self._pending >= WINDOW:
            raise ValueError("too many commands under way")
        if not command.isascii() or not command.isprintable():
            raise ValueError(f"no command: {command!r}")
        self._unsent.append(command)
        self._pending += 1

    def flush(self) -> None:
        """Send what is queued, without waiting for answers. That QEMU has gone is told by `receive`, after the answers
        that it gave before.
        """
        if self._unsent:
            data = "".join(f"{command}\n" for command in self._unsent).encode()
            self._unsent.clear()
            try:
                self._stream.sendall(data)
            except TimeoutError as error:
                raise self._failure(error) from error
            except OSError:
                pass

    def receive(self) -> int | None:
        """The answer to the oldest command under way: its number if it has one, else None."""
        if not self._pending:
            raise ValueError("no command is under way")
        self.flush()
        while True:
            line = self._line()
            if line.startswith("IRQ"):
                self._interrupt(line)
                continue
            self._pending -= 1
            return self._answer(line)

    def run(self, commands: Iterable[str], window: int = WINDOW) -> Iterator[int | None]:
        """The answers to all of the commands, in order, with up to `window` of them under way at once."""
        for command in commands:
            if self._pending >= window:
                # Half of them at once, so that neither side waits for every single line.
                for _ in range((window + 1) // 2):
                    yield self.receive()
            self.send(command)
        while self._pending:
            yield self.receive()

    def command(self, text: str) -> int | None:
        """The answer to one command, when no other is under way."""
        if self._pending:
            raise ValueError("other commands are under way")
        self.send(text)
        return self.receive()

    # -- one command --------------------------------------------------------------------------------------

    def read(self, address: int, width: int) -> int:
        """Read 1, 2, 4 or 8 bytes of memory space."""
        return self._number(read_command(address, width))

    def write(self, address: int, width: int, value: int) -> None:
        """Write 1, 2, 4 or 8 bytes of memory space."""
        self.command(write_command(address, width, value))

    def port_read(self, port: int, width: int) -> int:
        """Read 1, 2 or 4 bytes of port space."""
        return self._number(f"in{_PORT_SUFFIX[width]} {port:#x}")

    def port_write(self, port: int, width: int, value: int) -> None:
        """Write 1, 2 or 4 bytes of port space."""
        self.command(f"out{_PORT_SUFFIX[width]} {port:#x} {value:#x}")

    def clock_step(self, nanoseconds: int) -> int:
        """Move the virtual clock, which only accel=qtest allows; the time after it."""
        return self._number(f"clock_step {nanoseconds}")

    def watch_irqs(self, path: str, out: bool = False) -> None:
        """Tell `on_irq` of every change of the lines into (or out of) the object at a QOM path."""
        self.command(f"irq_intercept_{'out' if out else 'in'} {path}")

    def set_irq_in(self, path: str, name: str, number: int, level: int) -> None:
        """Set an input line of the object at a QOM path; `name` is "unnamed-gpio-in" where it has none."""
        self.command(f"set_irq_in {path} {name} {number} {level}")

    # -- lines --------------------------------------------------------------------------------------------

    def _number(self, text: str) -> int:
        number = self.command(text)
        if number is None:
            raise QemuError(f"QEMU answered {text!r} without a number")
        return number

    def _answer(self, line: str) -> int | None:
        word, _, rest = line.partition(" ")
        if word == "OK":
            if not rest:
                return None
            if _NUMBER.fullmatch(rest):
                return int(rest, 0 if rest.startswith("0x") else 10)
        elif word in ("FAIL", "ERR"):
            raise QemuError(f"QEMU's qtest says: {_clip(line)}")
        raise QemuError(f"QEMU's qtest answered what is no answer: {_clip(line)}")

    def _interrupt(self, line: str) -> None:
        found = _IRQ.fullmatch(line)
        if found is None:
            raise QemuError(f"QEMU's qtest answered what is no answer: {_clip(line)}")
        self.on_irq(int(found[2]), found[1] == "raise")

    def _line(self) -> str:
        while not self._lines:
            try:
                block = self._stream.recv(1 << 16)
            except OSError as error:
                raise self._failure(error) from error
            if not block:
                raise self._failure(None)
            *whole, self._buffer = (self._buffer + block).split(b"\n")
            if len(self._buffer) > _LONGEST:
                raise QemuError(f"QEMU's qtest sent a line of more than {_LONGEST} bytes")
            self._lines = whole[::-1]
        return self._lines.pop().decode("ascii", "replace")

    def _failure(self, error: OSError | None) -> QemuError:
        if isinstance(error, TimeoutError):
            what = f"did not answer its qtest socket for {self._timeout:g} s"
        else:
            what = "closed its qtest socket"
        return QemuError(f"QEMU {what}") if self._qemu is None else self._qemu.failure(what)


def read_command(address: int, width: int) -> str:
    """The command that reads 1, 2, 4 or 8 bytes of memory space."""
    return f"read{_SUFFIX[width]} {address:#x}"


def write_command(address: int, width: int, value: int) -> str:
    """The command that writes 1, 2, 4 or 8 bytes of memory space."""
    return f"write{_SUFFIX[width]} {address:#x} {value:#x}"


def _clip(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line[:100])
