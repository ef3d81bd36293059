#!/usr/bin/env python3
"""Stands in for QEMU in tests: a PCI card of plain memory on a qtest socket, whose register 0 of BAR0 is the clock in
microseconds. FAKE_ACCEL says whether it has accel=qtest, FAKE_DIES after how many memory accesses it dies.
"""

import os
import signal
import socket
import sys

arguments = sys.argv[1:]
if "-version" in arguments:
    print("QEMU emulator version 9.9.9 (none)")
    sys.exit(0)
if any(word.endswith(",help") for word in arguments):
    print("fake options:")
    sys.exit(0)
if "accel=qtest" in " ".join(arguments) and not os.environ.get("FAKE_ACCEL"):
    print("fake: invalid accelerator qtest", file=sys.stderr)
    sys.exit(1)
if "-qtest" not in arguments:
    sys.exit(0)

SIZES = {0x10: 0x1000, 0x14: 0x40}
config = {0x00: 0x56781234, 0x10: 0, 0x14: 1}
memory: dict[int, int] = {}
dies = int(os.environ.get("FAKE_DIES", "-1"))
selected = clock = 0


def answer(word: str, *numbers: int) -> str:
    global selected, clock, dies
    if word == "outl" and numbers[0] == 0xCF8:
        selected = numbers[1]
    elif word in ("inl", "outl") and numbers[0] == 0xCFC:
        register = selected & 0xFF if selected >> 11 & 31 == 3 else -1
        if word == "inl":
            return f"OK {config.get(register, 0):#06x}"
        if register in SIZES:
            config[register] = numbers[1] & -SIZES[register] & 0xFFFFFFFF | (register == 0x14)
        elif register == 4:
            config[register] = numbers[1]
    elif word == "clock_step":
        clock += numbers[0]
        return f"OK {clock}"
    elif word.startswith("irq"):
        return "FAIL Unknown device"
    else:
        dies -= 1
        if not dies:
            print("fake: assertion failed", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        if word.startswith("write"):
            memory[numbers[0]] = numbers[1]
        else:
            value = clock // 1000 if numbers[0] == config[0x10] else memory.get(numbers[0], 0)
            return f"OK {value:#018x}"
    return "OK"


end = int(arguments[arguments.index("-chardev") + 1].rpartition("fd=")[2])
with socket.socket(fileno=end) as stream, stream.makefile() as commands:
    for line in commands:
        word, *numbers = line.split()
        plain = [int(number, 0) for number in numbers] if not word.startswith("irq") else []
        stream.sendall(f"{answer(word, *plain)}\n".encode())
