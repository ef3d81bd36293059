"""`mmiotools record`, as a user meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Kind
from mmiotools.formats import open_trace


def events(path) -> list:
    return [event for batch in open_trace(str(path)).batches for event in batch.events()]


def test_text_on_standard_output(capfdbinary):
    assert run(["record", "nv-test", "-t", "mmiotrace"]) == 0
    out, err = capfdbinary.readouterr()
    lines = out.splitlines()
    assert lines[0] == b"VERSION 20070824"
    assert lines[1].startswith(b"# mmiotools: {")
    assert [line.split()[0] for line in lines[2:]] == [b"PCIDEV", b"MAP", b"R", b"W"]
    assert b"mmiotools: kernel: wrote 0 to 0x600140" in err


@pytest.mark.parametrize("suffix", ["mmiotrace", "mmio", "jsonl"])
def test_files_say_how_they_were_made(tmp_path, capfdbinary, suffix):
    out = tmp_path / f"x.{suffix}"
    assert run(["record", "-q", "nv-test@2", "--seed", "5", "-o", str(out)]) == 0
    assert capfdbinary.readouterr() == (b"", b"")
    trace = open_trace(str(out))
    kinds = [event.kind for batch in trace.batches for event in batch.events()]
    assert kinds[:4] == [Kind.HEADER, Kind.HEADER, Kind.DEVICE, Kind.MAP]
    assert (trace.header.meta["driver"], trace.header.meta["driver_version"], trace.header.meta["seed"]) == (
        "nv-test",
        "2",
        5,
    )


def test_scenario_and_failures(tmp_path, capfd):
    scenario = tmp_path / "s.toml"
    scenario.write_text('driver = "nv-test"\n[fail]\npci_request_regions = "EBUSY"\n')
    out = tmp_path / "x.mmio"
    assert run(["record", str(scenario), "-o", str(out)]) == 0
    assert "the driver's probe returned -16" in capfd.readouterr().err
    assert all(event.kind > Kind.UNKNOWN for event in events(out))
    assert run(["record", "nv-test", "--fail", "ioremap=ENOMEM", "-o", str(out)]) == 2
    assert "0x101000" in capfd.readouterr().err


def test_names_and_offsets_record_the_same(tmp_path, capfd):
    named, offsets = tmp_path / "named.mmiotrace", tmp_path / "offsets.mmiotrace"
    words = ["--probe", "TDBAL-TDT", "--probe", "STATUS", "--inject", "read STATUS stuck bit 1 = 0"]
    assert run(["record", "nic-init", "--regs", "auto", *words, "-o", str(named)]) == 0
    words = ["--probe", "BAR0+0x3800-0x381b", "--probe", "BAR0+0x8-0xb"]
    words += ["--inject", "read BAR0+0x8-0xb stuck bit 1 = 0"]
    assert run(["record", "nic-init", *words, "-o", str(offsets)]) == 0
    assert named.read_bytes() == offsets.read_bytes()
    assert b"stuck bit 1 = 0]" in named.read_bytes()
    assert "no link" in capfd.readouterr().err


def test_check(tmp_path, capfd):
    assert run(["record", "--check", "nv-init", "-o", str(tmp_path / "x.mmio")]) == 0
    assert "87 right, 0 lost, 0 wrong, 0 invented" in capfd.readouterr().err
    driver = tmp_path / "early.py"
    # The card forgets to log what it does to one register, so that the trace has more than the card saw.
    driver.write_text(
        "from mmiotools.devices.nv_card import NvCard\n"
        "class DEVICE(NvCard):\n"
        "    def write(self, *where):\n"
        "        super().write(*where)\n"
        "        self.seen.pop()\n"
    )
    assert run(["record", "--check", "nv-test", "--card", str(driver), "-o", str(tmp_path / "y.mmio")]) == 1
    assert "1 invented" in capfd.readouterr().err
    assert len(events(tmp_path / "y.mmio")) == 6


def test_engine_off(tmp_path, capfd):
    out = tmp_path / "x.mmio"
    assert run(["record", "--engine", "off", "nv-test", "-o", str(out)]) == 0
    assert "the engine is off" in capfd.readouterr().err
    assert [event.kind for event in events(out)] == [Kind.HEADER, Kind.HEADER, Kind.DEVICE]


def test_crash_keeps_the_trace(tmp_path, capfd):
    driver = tmp_path / "crash.py"
    driver.write_text(
        "def probe(k):\n"
        "    base = k.ioremap(k.pci_resource_start(0), 4096)\n"
        "    k.readl(base)\n"
        "    return k.readl(base + 8192)\n"
        "class DRIVER:\n    name = 'crash'\n    device = 'nv-card'\n    versions = {'1': probe}\n"
    )
    out = tmp_path / "x.mmio"
    assert run(["record", str(driver), "-o", str(out)]) == 2
    err = capfd.readouterr().err
    assert "crash.py:4" in err
    assert "Traceback" not in err
    assert [event.kind for event in events(out)][-1] == Kind.READ


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["no-such"], "no driver is called 'no-such'"),
        (["nv-test@9"], "has no version '9'"),
        (["nv-test", "--card", "no-such"], "no device is called"),
        (["nv-test", "--fail", "ioremap"], "CALL=ERRNO"),
        (["nv-test", "--check", "--engine", "off"], "nothing to check"),
        (["nic-init", "--probe", "TDT"], "names of registers need --regs"),
        (["nic-init", "--regs", "auto", "--probe", "TDTT"], "called 'TDTT'; did you mean 'TDT'"),
        (["nic-init", "--regs", "auto", "--inject", "read TDT becomes 3"], "not 'becomes'"),
        (["nic-init", "--regs", "none.toml", "--probe", "TDT"], "none.toml"),
        (["none.toml"], "none.toml: no such file"),
        (["none.py"], "none.py: no such driver file"),
    ],
)
def test_usage(args, message, capfd):
    assert run(["record", *args, "-t", "mmiotrace"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err


def test_interrupt_keeps_a_valid_file(tmp_path):
    driver = tmp_path / "busy.py"
    driver.write_text(
        "import sys\n"
        "def probe(k):\n"
        "    base = k.ioremap(k.pci_resource_start(0), 0x1000000)\n"
        "    i = 0\n"
        "    while True:\n"
        "        k.writel(i, base + 0x700000)\n"
        "        i += 1\n"
        "        if i == 9000:\n"
        "            print('ready', file=sys.stderr, flush=True)\n"
        "class DRIVER:\n    name = 'busy'\n    device = 'nv-card'\n    versions = {'1': probe}\n"
    )
    out = tmp_path / "x.mmio"
    command = [sys.executable, "-m", "mmiotools", "record", str(driver), "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted; the trace so far is kept" in err
    kept = events(out)
    assert not any(event.extra.get("damaged") for event in kept)
    values = [event.value for event in kept if event.kind == Kind.WRITE]
    assert values == list(range(len(values)))
    assert len(values) >= 8999
