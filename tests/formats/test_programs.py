"""Traces as programs: the same accesses when they run, whatever the trace says, and nothing else runs."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS
from mmiotools.formats.base import Sniff, damaged, read_all
from mmiotools.formats.mmiotrace import FORMAT as MMIOTRACE
from mmiotools.formats.program import safe
from mmiotools.formats.program_rows import TURNS, UNTIL, WHILE, Folder, Rows, joined
from mmiotools.formats.source import ByteSource
from mmiotools.serve.qemu import Qemu, QemuProcess
from mmiotools.serve.qtest import QtestSocket
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Bar, PciDevice, TraceHeader

LANGUAGES = ("c", "python", "qtest", "devmem")
CARD = PciDevice(0x18, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000), Bar(2, 0x38_0000_0000, 0x1000)), "e1000")
GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="needs gcc")
SAMPLES = [
    "mmiotrace/nvme-linux6.1.mmiotrace",
    "mmiotrace/e1000-linux6.1.mmiotrace.xz",
    "mmiotrace/hda-linux6.1.mmiotrace",
    "mmiotrace/nv-init-1.mmiotrace",
    "mmiotrace/oddities.mmiotrace",
]
#: Text that would be code, the end of a comment, of a string or of a line, in one of the languages.
HOSTILE = [
    b"*/ int main(void) { return 66; } /*",
    b'"; system("touch pwned"); //',
    b"\nimport os; os.mkdir('pwned')\n",
    b'"""\nimport os\n"""',
    b"\\\n#error trigraph ??/\n",
    b"$(touch pwned) `touch pwned` ; touch pwned\n touch pwned",
    b"\r\x00\x0c\x1b[2J\xff\xe2\x80\xa8 %s%n",
    b"@STEPS@\n@REGIONS@\n@MAPS@\n@BEGAN@",
    b"quit\nwritel 0x0 0x1",
]


def written(language: str, *batches: list[Event]) -> tuple[bytes, dict[str, int]]:
    """A program, and what it could not hold."""
    out = io.BytesIO()
    writer = FORMATS.get(language).writer(out, TraceHeader())
    for events in batches:
        writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue(), dict(writer.lost)


def run_c(program: bytes, tmp_path: Path) -> bytes:
    """What a C program prints, after it was compiled without a warning."""
    (tmp_path / "p.c").write_bytes(program)
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    assert GCC is not None
    subprocess.run([GCC, *flags, "-std=c99", "-o", "p", "p.c"], cwd=tmp_path, check=True, timeout=120)
    subprocess.run([GCC, *flags, "-DMMIO_NO_MAIN", "-c", "p.c"], cwd=tmp_path, check=True, timeout=120)
    return subprocess.run(["./p", "--print"], cwd=tmp_path, check=True, stdout=subprocess.PIPE, timeout=60).stdout


def run_python(program: bytes, tmp_path: Path) -> bytes:
    """What a Python program prints."""
    (tmp_path / "p.py").write_bytes(program)
    words = [sys.executable, "-W", "error", "p.py", "--print"]
    return subprocess.run(words, cwd=tmp_path, check=True, stdout=subprocess.PIPE, timeout=60).stdout


def read(text: bytes) -> list[Event]:
    """Events of mmiotrace text."""
    return read_all(MMIOTRACE.read(ByteSource(io.BytesIO(text), "printed"))[1])


def accesses(events: list[Event]) -> list[tuple]:
    """What was done."""
    return [(e.kind, e.width, e.addr, e.value) for e in events if e.kind <= Kind.WRITE]


def card(events: list[Event]) -> list[Event]:
    """Accesses to a PCI device."""
    return [Event(Kind.DEVICE, extra=CARD.extra()), *events]


# -- what they do ----------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("sample", SAMPLES)
def test_c_compiles_without_warning_and_reads_back(sample: str, samples: Path, cli: Cli, tmp_path: Path) -> None:
    made = cli("convert", "-q", "-t", "c", str(samples / sample))
    assert made.returncode in (0, 3)
    (tmp_path / "printed").write_bytes(run_c(made.stdout, tmp_path))
    if "oddities" not in sample:
        done = cli("diff", str(samples / sample), str(tmp_path / "printed"))
        assert (done.returncode, done.stdout) == (0, b"")
    assert cli("check", str(tmp_path / "printed")).returncode in (0, 1)


@pytest.mark.parametrize("sample", SAMPLES)
def test_python_prints_what_c_prints(sample: str, samples: Path, cli: Cli, tmp_path: Path) -> None:
    printed = run_python(cli("convert", "-q", "-t", "python", str(samples / sample)).stdout, tmp_path)
    if GCC is not None:
        assert printed == run_c(cli("convert", "-q", "-t", "c", str(samples / sample)).stdout, tmp_path)
    else:
        assert accesses(read(printed))


@pytest.mark.parametrize(("driver", "device"), [("nv-init", "nv-card"), ("block-init", "block")])
def test_a_python_program_is_a_driver(driver: str, device: str, cli: Cli, tmp_path: Path) -> None:
    first, program, second = (str(tmp_path / name) for name in ("first.mmio", "program.py", "second.mmio"))
    assert cli("record", "-q", driver, "-o", first).returncode == 0
    assert cli("convert", first, "-o", program).returncode == 0
    done = cli("replay", first, "--driver", program)
    assert done.returncode == 0, done.stdout
    assert cli("record", "-q", program, "--card", device, "-o", second).returncode == 0
    done = cli("diff", first, second)
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_python_driver_says_what_differs_and_gives_up_waiting(cli: Cli, tmp_path: Path) -> None:
    polls = [Event(Kind.READ, 10**6 * i, 4, addr=0xFEBC0010, value=i == 5) for i in range(6)]
    program, _ = written("python", card([Event(Kind.WRITE, 0, 4, addr=0xFEBC0000, value=1), *polls]))
    (tmp_path / "p.py").write_bytes(program)
    done = cli("record", str(tmp_path / "p.py"), "--card", "nv-card", "-o", str(tmp_path / "x.mmio"))
    assert done.returncode == 0
    assert b"BAR0+0x10: 0x0, waited for 0x1 in the bits 0x1" in done.stderr and b"1 reads differ" in done.stderr


BUS = """
#include "p.c"
#include <stdio.h>
#include <string.h>

static unsigned char memory[0x100];
static int polls;

static uint64_t get(void *context, unsigned region, uint64_t offset, unsigned width)
{
    uint64_t value = 0;

    (void)context, (void)region;
    if (offset == 0x10)
        return ++polls < 500 ? 0x80 : 0x83;
    memcpy(&value, memory + offset, width);
    return value;
}

static void put(void *context, unsigned region, uint64_t offset, unsigned width, uint64_t value)
{
    (void)context, (void)region;
    memcpy(memory + offset, &value, width);
}

static void rest(void *context, uint64_t nanoseconds)
{
    *(uint64_t *)context += nanoseconds;
}

static void differs(void *context, unsigned region, uint64_t offset, uint64_t expected, uint64_t got, uint64_t mask)
{
    (void)context;
    printf("%s+%x %x %x %x\\n", mmio_regions[region].name, (int)offset, (int)expected, (int)got, (int)mask);
}

int main(void)
{
    uint64_t slept = 0;
    struct mmio_bus bus = {get, put, rest, differs, &slept};
    unsigned long count = mmio_run(&bus);

    printf("%lu %d %lu\\n", count, polls, (unsigned long)slept);
    return 0;
}
"""


@needs_gcc
def test_c_runs_on_a_bus_of_ones_own(tmp_path: Path) -> None:
    base = 0xFEBC0000
    events = [Event(Kind.WRITE, 1000 * i, 1 << i, addr=base + 8 * i, value=0x8877665544332211) for i in range(4)]
    events += [Event(Kind.READ, 5000, 4, addr=base + 16, value=0x44332211)]
    # A wait of four reads, 8 us apart, for bit 1 alone: on this bus it takes 500.
    events = [event._replace(addr=(event.addr or 0) + (0x20 if event.addr == base + 16 else 0)) for event in events]
    events += [
        Event(Kind.READ, 10_000 + 8000 * i, 1, addr=base + 0x10, value=0x82 if i == 3 else 0x80) for i in range(4)
    ]
    events += [Event(Kind.READ, 35_000, 4, addr=base + 0x30, value=0x44332212)]
    events += [Event(Kind.READ, 5_035_000, 2, addr=base + 0x40 + 2 * i, value=0) for i in range(2)]
    (tmp_path / "p.c").write_bytes(written("c", card(events))[0])
    (tmp_path / "bus.c").write_text(BUS)
    assert GCC is not None
    words = [GCC, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-DMMIO_NO_MAIN", "-o", "bus", "bus.c"]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(["./bus"], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    told, last = done.stdout.splitlines()
    assert told == "00:03.0/BAR0+30 44332212 44332211 ffffffff"
    count, polls, slept = map(int, last.split())
    assert (count, polls) == (1, 500)
    assert 499 * 6000 < slept - 5_000_000 < 499 * 8000 + 10_000


DEVMEM = """#!/bin/sh
# Memory in a file: ADDRESS BITS [VALUE]; a register at an address that ends in 10 counts its reads.
echo "$@" >>log
case $(printf %x "$1") in
*10) n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n >n; [ $n -lt 7 ] && echo 0x00000000 || echo 0x00000081 ;;
*18) exit 1 ;;
*) [ -n "$3" ] || printf '0x%0*X\\n' $(($2 / 4)) 0xab ;;
esac
"""


def run_devmem(events: list[Event], tmp_path: Path, **environment: str) -> tuple[int, str, list[str]]:
    """Status, output, and the calls of devmem."""
    (tmp_path / "p.sh").write_bytes(written("devmem", card(events))[0])
    (tmp_path / "devmem").write_text(DEVMEM)
    (tmp_path / "devmem").chmod(0o755)
    held = os.environ | {"DEVMEM": "./devmem", "DELAYS": "no"} | environment
    done = subprocess.run(["sh", "p.sh"], cwd=tmp_path, env=held, stdout=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stdout, (tmp_path / "log").read_text().splitlines()


def test_devmem_writes_checks_and_waits(tmp_path: Path) -> None:
    base = 0xFEBC0000
    wait = [Event(Kind.READ, 5000 * i, 4, addr=base + 0x10, value=0x81 if i == 3 else 0x80) for i in range(4)]
    good = [Event(Kind.READ, 0, 1, addr=base, value=0xAB), Event(Kind.READ, 0, 8, addr=base + 8, value=0xAB)]
    write = Event(Kind.WRITE, 0, 8, addr=base + 8, value=1 << 63)
    status, out, calls = run_devmem([*good, write, *wait], tmp_path, R0="0x1000")
    assert (status, out) == (0, "0 reads differ\n")
    shown = [f"{int(address)} {rest}" for address, _, rest in (call.partition(" ") for call in calls)]
    assert shown == ["4096 8", "4104 64", "4104 64 0x8000000000000000", *["4112 32"] * 7]
    (tmp_path / "log").unlink()
    status, out, _ = run_devmem([Event(Kind.READ, 0, 4, addr=base, value=1)] * 2, tmp_path)
    assert (status, out) == (1, "0xfebc0000: 0x000000AB, recorded 0x00000001\n" * 2 + "2 reads differ\n")
    assert run_devmem([Event(Kind.READ, 0, 4, addr=base + 0x18, value=1), *good], tmp_path)[0] == 2


def test_qtest_is_what_qemu_reads(tmp_path: Path) -> None:
    events = card(
        [
            Event(Kind.WRITE, 5000, 4, addr=0xFEBC0100, value=7),
            Event(Kind.READ, 7500, 2, addr=0x38_0000_0010, value=9),
            Event(Kind.READ, 7500, 8, addr=0x38_0000_0010),
        ]
    )
    lines = written("qtest", events)[0].decode().splitlines()
    assert [line for line in lines if not line.startswith("endianness # ")] == [
        *("outl 0xcf8 0x80001810", "outl 0xcfc 0xfebc0000"),
        *("outl 0xcf8 0x80001818", "outl 0xcfc 0x0", "outl 0xcf8 0x8000181c", "outl 0xcfc 0x38"),
        *("outl 0xcf8 0x80001804", "outl 0xcfc 0x7"),
        *("writel 0xfebc0100 0x7 #", "clock_step 2500", "readw 0x3800000010 # 0x9", "readq 0x3800000010 #"),
    ]


def test_qtest_devices_behind_bridges_go_elsewhere() -> None:
    events = [Event(Kind.DEVICE, extra=CARD._replace(bdf=0x100).extra()), Event(Kind.READ, 0, 4, addr=0xFEBC0000)]
    program, _ = written("qtest", events)
    assert b"for a -device with addr=10.0\noutl 0xcf8 0x80008010\n" in program


@pytest.mark.slow
def test_qemu_takes_every_line_of_a_qtest_script(qemu: Qemu, samples: Path, cli: Cli) -> None:
    script = cli("convert", "-q", "-t", "qtest", str(samples / SAMPLES[1])).stdout.decode().splitlines()
    unknown = ("endianness ",) if qemu.qtest_accel else ("endianness ", "clock_step ")
    script = [line for line in script if not line.startswith(unknown)]
    machine = ["-machine", f"pc,accel={'qtest' if qemu.qtest_accel else 'tcg'}", "-S", "-nodefaults"]
    with QtestSocket() as ends:
        words = [*machine, "-display", "none", "-device", "e1000,addr=3", *ends.arguments]
        with QemuProcess(qemu, words, pass_fds=ends.fds) as process, ends.client(process) as qtest:
            answers = list(qtest.run(script))
    reads = [(line, answer) for line, answer in zip(script, answers, strict=True) if line.startswith("readl")]
    equal = sum(int(line.split()[3], 0) == answer for line, answer in reads)
    assert len(reads) == 7392 and equal > 0.9 * len(reads)


# -- what stands in them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_recording_is_never_code(language: str, text: bytes, tmp_path: Path) -> None:
    evil = CARD._replace(driver=text.decode("latin-1"))
    events = [
        Event(Kind.DEVICE, extra=evil.extra()),
        Event(Kind.MARK, 0, extra={"text": text}),
        damaged("torn", text=text),
        Event(Kind.LOST, 0, extra={"count": 5, "text": text}),
        Event(Kind.READ, 0, 4, addr=0xFEBC0000, value=1),
        Event(Kind.READ, 0, 4, region=text.decode("latin-1"), offset=0),
        Event(Kind.MARK, 0, extra={"text": text * 1000}),
    ]
    program, lost = written(language, events)
    assert lost == {"NOTE": 1, "LOST": 1, "accesses without address": 1}
    plain, _ = written(language, card([Event(Kind.READ, 0, 4, addr=0xFEBC0000, value=1)]))
    assert program.count(b"\n") == plain.count(b"\n") + 5, "a line for each that is no access"
    assert text not in program
    if language == "python":
        printed = run_python(program, tmp_path)
    elif language == "c" and GCC is not None:
        printed = run_c(program, tmp_path)
    elif language == "devmem":
        (tmp_path / "p.sh").write_bytes(program)
        subprocess.run(["sh", "p.sh"], cwd=tmp_path, env=os.environ | {"DEVMEM": "echo"}, timeout=60, check=False)
        printed = b""
    else:
        commands = {line.split()[0] for line in program.decode("ascii").splitlines()}
        assert commands == {"endianness", "outl", "readl"}
        printed = b""
    if printed:
        assert accesses(read(printed)) == [(Kind.READ, 4, 0xFEBC0000, 1)]
    assert not (tmp_path / "pwned").exists()


def namespace(program: bytes) -> dict:
    """A Python program as a module."""
    held: dict = {"__name__": "program"}
    exec(compile(program, "program.py", "exec"), held)
    return held


@st.composite
def event(draw: st.DrawFn) -> Event:
    """Any event that a format may have read."""
    number = st.integers(0, 2**64 - 1)
    kind = draw(st.sampled_from([*Kind, Kind.READ, Kind.READ, Kind.WRITE]))
    small = st.sampled_from([0xFEBC0000, 0xFEBC0008, 0x38_0000_0010, 5]) | number
    fields = {
        "time": draw(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10**7)),
        "width": draw(st.none() | st.integers(0, 255) | st.sampled_from([1, 2, 4, 4, 4, 8])),
        "map": draw(st.none() | st.integers(-2, 3)),
        "addr": draw(st.none() | small),
        "value": draw(st.none() | st.integers(0, 1) | number | st.integers(0, 2**100)),
        "pc": draw(st.none() | number),
    }
    extra: dict = {}
    if kind == Kind.DEVICE:
        bars = draw(st.lists(st.builds(Bar, st.integers(0, 6), number, number, st.integers(0, 15)), max_size=3))
        words = draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 2**16 - 1))
        extra = PciDevice(draw(st.integers(0, 2**16 - 1)), *words, 0, tuple(bars), draw(st.text())).extra()
    elif kind in (Kind.MARK, Kind.NOTE, Kind.LOST):
        extra = {"text": draw(st.binary())}
    elif kind == Kind.UNKNOWN:
        extra = {"opcode": draw(st.binary(min_size=1, max_size=9))}
    elif kind == Kind.MAP:
        extra = {"length": draw(st.none() | number)}
    return Event(kind, extra=extra, **fields)


@given(st.lists(st.lists(event(), max_size=12), max_size=3), st.booleans())
def test_any_events_are_a_program_that_does_them(batches: list[list[Event]], known: bool) -> None:
    batches = [card([]), *batches] if known else batches
    for language in LANGUAGES:
        written(language, *batches)
    program = namespace(written("python", *batches)[0])
    done: list[tuple] = []
    for step in program["steps"]():
        if step.op in ("READ", "ANY", "WRITE", "WHILE", "UNTIL"):
            value = None if step.op == "ANY" else step.value
            kind = Kind.WRITE if step.op == "WRITE" else Kind.READ
            place = program["REGIONS"][step.region].base + step.offset
            done += [(kind, step.width, place, value)] * step.count
    expected = []
    for held in (held for batch in batches for held in batch):
        if held.kind <= Kind.WRITE and held.addr is not None and held.width in (1, 2, 4, 8):
            value = None if held.value is None else held.value & (1 << 8 * held.width) - 1
            if held.kind == Kind.READ or value is not None:
                expected.append((held.kind, held.width, held.addr, value))
    assert done == expected


@given(st.binary())
def test_safe_text_has_no_letter_that_means_something(text: bytes) -> None:
    assert re.fullmatch(rb"[A-Za-z0-9 _.,:;=+@()<>\[\]/%-]*", safe(text))


def test_what_is_lost_is_named_and_counted() -> None:
    events = [
        Event(Kind.UNKNOWN, 0, addr=0x1000, extra={"opcode": b"\x8b\x04\x24"}),
        Event(Kind.WRITE, 0, 16, addr=0x1000, value=1 << 100),
        Event(Kind.WRITE, 0, 4, addr=0x1000),
        Event(Kind.READ, 0, 4, value=1),
        Event(Kind.READ, 0, 3, addr=0x1000, value=1),
        Event(Kind.READ, 0, addr=0x1000, value=1),
        Event(Kind.READ, 0, 1, addr=0x1000, value=0x1FF),
        Event(Kind.READ, 0, 8, addr=0x1000, value=1 << 70),
        Event(Kind.READ, 0, 8, addr=0x1000, pc=5, pid=6, cpu=7),
        Event(Kind.IRQ, 0, extra={"vector": 1}),
    ]
    expected = {
        "UNKNOWN": 1,
        "accesses of other than 1, 2, 4 or 8 bytes": 3,
        "writes without value": 1,
        "accesses without address": 1,
        "bits of values beyond their access": 2,
        "pc": 1,
        "pid": 1,
        "cpu": 1,
        "IRQ": 1,
    }
    for language in LANGUAGES:
        program, lost = written(language, events)
        assert lost == expected
        assert program.count(b"left out") == 6


def test_nothing_is_a_program_too(tmp_path: Path) -> None:
    for language in LANGUAGES:
        assert written(language)[0]
    assert read(run_python(written("python")[0], tmp_path))[0].kind == Kind.HEADER
    if GCC is not None:
        assert b"VERSION" in run_c(written("c", [])[0], tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_batches_do_not_show(language: str, samples: Path) -> None:
    events = read_all(MMIOTRACE.read(ByteSource(io.BytesIO((samples / SAMPLES[3]).read_bytes()), "x"))[1])
    events += [Event(Kind.READ, 10**9 + i, 4, addr=0xFD000000, value=i == 39) for i in range(40)]
    whole, _ = written(language, events)
    assert written(language, *([event] for event in events))[0] == whole
    assert written(language, events[:60], events[60:])[0] == whole


def test_registers_are_named(cli: Cli, samples: Path, tmp_path: Path) -> None:
    sample = str(samples / SAMPLES[0])
    for language in LANGUAGES:
        assert b" CSTS" in cli("convert", "-q", "-t", language, sample).stdout
    (tmp_path / "map.txt").write_text("0x1c MINE 4\n0x14 OTHER 4\n")
    made = cli("convert", "-q", "-t", "c", "--regs", str(tmp_path / "map.txt"), sample).stdout
    assert b"/* MINE */" in made and b"CSTS" not in made
    done = cli("convert", "-t", "csv", "--regs", "auto", sample)
    assert (done.returncode, done.stdout) == (2, b"")


def test_they_are_never_read() -> None:
    for language in LANGUAGES:
        assert FORMATS.get(language).sniff(written(language)[0][:4096]) == Sniff.NO


# -- waits -----------------------------------------------------------------------------------------------------


def unfolded(rows: Rows) -> list[tuple]:
    """The accesses that rows stand for."""
    columns = zip(*(column.tolist() for column in rows), strict=True)
    return [(op if op < WHILE else 0, w, r, o, v) for op, w, r, o, v, _, _, times in columns for _ in range(times)]


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 2]), st.integers(0, 1), st.integers(0, 1)), max_size=60),
    st.integers(1, 60),
)
def test_folding_loses_nothing_and_finds_the_waits(steps: list[tuple[int, int, int]], size: int) -> None:
    import numpy as np

    def rows(part: list[tuple[int, int, int]]) -> Rows:
        op, offset, value = (np.array([step[i] for step in part], np.int64) for i in range(3))
        some = np.zeros(len(part), np.int64)
        wide = (offset.astype(np.uint64), value.astype(np.uint64))
        return Rows(op.astype(np.uint8), some + 4, some, *wide, some, some, some + 1)

    folder = Folder()
    parts = [folder.feed(rows(steps[at : at + size])) for at in range(0, len(steps), size)]
    found = joined(*parts, folder.feed(rows([]), end=True))
    assert unfolded(found) == [(op, 4, 0, offset, value) for op, offset, value in steps]
    whole = Folder().feed(rows(steps), end=True)
    assert all((a == b).all() for a, b in zip(found, whole, strict=True))
    expected = waits(steps)
    begins = np.cumsum(found.times) - found.times
    assert begins[found.op == WHILE].tolist() == expected
    assert (np.flatnonzero(found.op == WHILE) + 1).tolist() == np.flatnonzero(found.op == UNTIL).tolist()


def waits(steps: list[tuple[int, int, int]]) -> list[int]:
    """Where waits begin, found step by step."""
    found = []
    at = 0
    while at < len(steps):
        end = at + 1
        while steps[at][0] == 0 and end < len(steps) and steps[end][:2] == steps[at][:2]:
            end += 1
        values = [step[2] for step in steps[at:end]]
        if end - at > TURNS and len(set(values[:-1])) == 1 and values[-1] != values[0]:
            found.append(at)
        at = end
    return found
