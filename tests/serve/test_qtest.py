"""The qtest client: what it says, what it takes for an answer, and what it does with anything else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import QemuError
from mmiotools.serve.qtest import WINDOW, Qtest


@contextlib.contextmanager
def answering(said: bytes, timeout: float = 5) -> Iterator[tuple[Qtest, socket.socket]]:
    """A client whose peer has said something and, unless it waits, says no more."""
    ours, theirs = socket.socketpair()
    with theirs, Qtest(ours, timeout=timeout) as qtest:
        theirs.sendall(said)
        yield qtest, theirs


def test_commands_are_what_qemu_reads() -> None:
    with answering(b"OK 0x00000000000000ff\nOK\nOK 0x1234\nOK\nOK 5000\nOK\nOK\n") as (qtest, theirs):
        assert qtest.read(0xFEBC0008, 4) == 255
        qtest.write(0x1000, 8, 1 << 63)
        assert qtest.port_read(0xCFC, 2) == 0x1234
        qtest.port_write(0xCF8, 4, 0x80000000)
        assert qtest.clock_step(5000) == 5000
        qtest.watch_irqs("/machine/i440fx/ioapic")
        qtest.set_irq_in("/machine/x", "unnamed-gpio-in", 11, 1)
        assert theirs.recv(4096).decode().splitlines() == [
            "readl 0xfebc0008",
            "writeq 0x1000 0x8000000000000000",
            "inw 0xcfc",
            "outl 0xcf8 0x80000000",
            "clock_step 5000",
            "irq_intercept_in /machine/i440fx/ioapic",
            "set_irq_in /machine/x unnamed-gpio-in 11 1",
        ]


def test_interrupts_come_before_an_answer_and_are_told() -> None:
    told: list[tuple[int, bool]] = []
    with answering(b"IRQ raise 11\nIRQ lower 11\nOK 0x1\n") as (qtest, _):
        qtest.on_irq = lambda line, level: told.append((line, level))
        assert qtest.read(0, 1) == 1
    assert told == [(11, True), (11, False)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"FAIL Unknown command 'x'\n", "FAIL Unknown command"),
        (b"ERR no\n", "ERR no"),
        (b"OK 0x10 0x20\n", "no answer"),
        (b"OK -1\n", "no answer"),
        (b"OK 0x11112222333344445\n", "no answer"),
        (b"OKAY\n", "no answer"),
        (b"\n", "no answer"),
        (b"\xff\x00\x1b\n", "no answer"),
        (b"IRQ raise x\n", "no answer"),
        (b"OK\n", "without a number"),
    ],
)
def test_what_is_no_answer_is_told(said: bytes, why: str) -> None:
    with answering(said) as (qtest, _), pytest.raises(QemuError, match=why) as caught:
        qtest.read(0, 4)
    assert str(caught.value).isprintable()


def test_end_silence_and_endless_lines() -> None:
    with answering(b"OK 0x") as (qtest, theirs):
        theirs.close()
        with pytest.raises(QemuError, match="closed"):
            qtest.read(0, 4)
    with answering(b"IRQ raise 1\n", timeout=0.05) as (qtest, _), pytest.raises(QemuError, match="did not answer"):
        qtest.read(0, 4)
    ours, theirs = socket.socketpair()
    with theirs, Qtest(ours) as qtest:

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    theirs.sendall(b"x" * 65536)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(QemuError, match="a line of more than"):
            qtest.read(0, 4)
        qtest.close()
        thread.join()


@given(st.binary(max_size=200), st.integers(1, 5))
def test_any_bytes_give_numbers_or_the_one_error(said: bytes, commands: int) -> None:
    with answering(said) as (qtest, theirs):
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(QemuError):
            for answer in qtest.run(["readl 0x0"] * (commands + said.count(b"\n"))):
                assert answer is None or 0 <= answer < 1 << 67


@given(st.lists(st.integers(0, 2**64 - 1), max_size=600), st.sampled_from([1, 2, 7, WINDOW]))
def test_many_commands_keep_their_order_and_the_window(numbers: list[int], window: int) -> None:
    ours, theirs = socket.socketpair()
    most = 0

    def echo() -> None:
        nonlocal most
        with theirs, theirs.makefile("rwb") as stream:
            for line in stream:
                stream.write(b"OK " + line.split()[1] + b"\n")
                stream.flush()

    thread = threading.Thread(target=echo)
    thread.start()
    with Qtest(ours) as qtest:

        def commands() -> Iterator[str]:
            nonlocal most
            for number in numbers:
                most = max(most, qtest.pending)
                yield f"readq {number:#x}"

        assert list(qtest.run(commands(), window)) == numbers
        assert qtest.pending == 0
        ours.shutdown(socket.SHUT_WR)
        thread.join()
    assert most <= window


def test_a_command_is_one_line_and_the_window_is_bounded() -> None:
    with answering(b"") as (qtest, _):
        for wrong in ("readl 0x0\nwritel 0x0 0x0", "é", "a\tb"):
            with pytest.raises(ValueError):
                qtest.send(wrong)
        for _ in range(WINDOW):
            qtest.send("readl 0x0")
        with pytest.raises(ValueError):
            qtest.send("readl 0x0")
        with pytest.raises(ValueError):
            qtest.command("readl 0x0")
