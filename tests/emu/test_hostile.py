# ruff: noqa: E501
"""Damaged and hostile objects end in one line, in bounded time and memory."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from emu_helpers import needs_emu

from mmiotools.emu import load_driver
from mmiotools.errors import UsageError

pytestmark = needs_emu

MUTATIONS = 300

#: Run in a process of its own, so that an object which brings down the emulator brings down no test run.
RUNNER = """
import random, sys, time
from pathlib import Path
from mmiotools.emu.driver import ObjectDriver
from mmiotools.devices import make_device
from mmiotools.engine.session import run_driver
from mmiotools.errors import DriverError, UsageError

source, folder, first, last = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
path = folder / "bad.o"
for seed in range(first, last):
    chance = random.Random(seed)
    data = bytearray(source)
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] = chance.choice((0, 0xFF, chance.randrange(256)))
    if seed % 10 == 0:
        del data[chance.randrange(len(data)):]
    path.write_bytes(data)
    print(seed, end=" ", flush=True)
    try:
        driver = ObjectDriver(str(path), slices=1, calls=200)
        outcome = run_driver(next(iter(driver.versions.values())), make_device("nv-card"), emit=lambda e: None, limit=5000)
    except (DriverError, UsageError) as error:
        text = str(error)
    else:
        text = str(outcome.error or outcome.returned)
    assert "\\n" not in text and len(text) < 500, text
    kind = "error" if not text.lstrip("-").isdigit() else "ran"
    print(kind, text[:100].encode("ascii", "replace").decode())
"""


def test_flipped_bytes(samples: Path, tmp_path: Path) -> None:
    words = [str(samples / "drivers" / "nv-test.o"), str(tmp_path), "0", str(MUTATIONS)]
    done = subprocess.run([sys.executable, "-c", RUNNER, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout[-300:], done.stderr[-3000:])
    lines = done.stdout.splitlines()
    assert len(lines) == MUTATIONS
    refused = sum(line.split()[1] == "error" for line in lines)
    assert 0 < refused < MUTATIONS, "some flips hurt, and some are in texts or debugging information"


@pytest.mark.parametrize("length", [0, 1, 4, 16, 63, 64, 200, 1000, -1])
def test_cut_off(samples: Path, tmp_path: Path, length: int) -> None:
    held = (samples / "drivers" / "nv-test.o").read_bytes()
    path = tmp_path / "cut.o"
    path.write_bytes(held[:length])
    with pytest.raises(UsageError, match=r"\A.*cut\.o: [^\n]*\Z"):
        load_driver(str(path))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (None, "no such file"),
        (b"", "is no ELF object"),
        (b"#!/bin/sh\n", "is no ELF object"),
        (b"\x7fELF" + bytes(2000), "damaged|not for x86-64"),
        (b"\x7fELF\x01" + bytes(2000), "damaged|not for x86-64"),
        (b"\x7fELF" + b"\xff" * 2000, "damaged|not for x86-64"),
    ],
)
def test_what_is_no_object(tmp_path: Path, held: bytes | None, message: str) -> None:
    path = tmp_path / "no.o"
    if held is not None:
        path.write_bytes(held)
    with pytest.raises(UsageError, match=message):
        load_driver(str(path))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        load_driver(str(tmp_path))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.o"
    with open(path, "wb") as file:
        file.write(b"\x7fELF")
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="more than 16 MiB"):
        load_driver(str(path))


def sections(held: bytes) -> tuple[int, int]:
    """Offset and number of the section headers."""
    return struct.unpack_from("<Q", held, 40)[0], struct.unpack_from("<H", held, 60)[0]


@pytest.mark.parametrize(
    ("offset", "code", "value", "message"),
    [
        (4, "<I", 8, "MiB of memory"),  # sh_type: nobits, with the size below
        (32, "<Q", 1 << 62, "MiB of memory|behind the end"),
        (48, "<Q", 3, "alignment"),
        (48, "<Q", 1 << 40, "alignment"),
        (8, "<Q", 7, "both code and writable"),
        (24, "<Q", 1 << 40, "behind the end"),
    ],
)
def test_hostile_sections(samples: Path, tmp_path: Path, offset: int, code: str, value: int, message: str) -> None:
    held = bytearray((samples / "drivers" / "nv-test.o").read_bytes())
    start, _ = sections(held)
    text = start + 64  # the first section is empty, the second is .text
    if offset == 4:
        struct.pack_into("<Q", held, text + 32, 1 << 50)
    struct.pack_into(code, held, text + offset, value)
    path = tmp_path / "bad.o"
    path.write_bytes(held)
    with pytest.raises(UsageError, match=message):
        load_driver(str(path))


def test_hostile_relocations(samples: Path, tmp_path: Path) -> None:
    held = (samples / "drivers" / "nv-test.o").read_bytes()
    start, count = sections(held)
    rela = next(
        struct.unpack_from("<Q", held, at + 24)[0]
        for at in range(start, start + 64 * count, 64)
        if struct.unpack_from("<I", held, at + 4)[0] == 4 and struct.unpack_from("<I", held, at + 44)[0] == 1
    )
    path = tmp_path / "bad.o"
    for offset, code, value, message in (
        (0, "<Q", 1 << 40, "outside"),
        (8, "<I", 99, "type 99"),
        (8, "<I", 9, "-fno-pic"),
        (12, "<I", 100_000, "outside"),
        (16, "<q", 1 << 40, "cannot reach"),
    ):
        bad = bytearray(held)
        struct.pack_into(code, bad, rela + offset, value)
        path.write_bytes(bad)
        with pytest.raises(UsageError, match=message):
            load_driver(str(path))


def test_random_code_never_escapes(tmp_path: Path) -> None:
    """Random bytes as a driver: it ends in an error or a return, whatever it is."""
    code = """
import random, sys
sys.path.insert(0, sys.argv[1])
from emu_helpers import RamCard, raw, run_probe
from mmiotools.emu.run import MachineCode
from mmiotools.engine.cpu import CODE_START
for seed in range(300):
    chance = random.Random(seed)
    program = raw(chance.randbytes(200), bytes(64))
    def probe(kernel):
        base = kernel.ioremap(0xf0000000, 0x10000)
        machine = MachineCode(program, kernel, slices=1, calls=10)
        machine.call(CODE_START, base, base + 64, CODE_START + 0x100000, 4)
        return 0
    print(seed, flush=True)
    outcome, _ = run_probe(probe, limit=2000)
    assert outcome.error is None or "\\n" not in str(outcome.error)
"""
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout[-100:], done.stderr[-3000:])
    assert random.Random(0).randbytes(2) and done.stdout.split()[-1] == "299"
