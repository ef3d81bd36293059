"""Debian's kernel boots in QEMU, and its e1000 driver meets the mock card of a recording of it.

Needs a QEMU that can use a card from outside, and the environment variable MMIOTOOLS_GUEST: a folder that a guest is
made in, which fetches packages from Debian. `.ci/run` sets it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmiotools.formats import open_trace
from mmiotools.serve.qemu import Qemu
from mmiotools.trace.collect import collect

RECORDING = "samples/mmiotrace/e1000-linux6.1.mmiotrace.xz"
#: As in the recording: up, packets of the kernel's and of a few programs, down, unload.
COMMANDS = """
ip link set eth0 up
sleep 3
udhcpc -i eth0 -n -q -t 4 -T 1
ip addr add 10.0.2.15/24 dev eth0
ping -c 3 -W 1 10.0.2.2
echo "guest: carrier $(cat /sys/class/net/eth0/carrier)"
ip link set eth0 down
rmmod e1000 && echo "guest: unloaded"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def guest(top: Path, qemu: Qemu) -> Path:
    """A folder with vmlinuz and initrd.img."""
    if not (qemu.vfio_user or qemu.proxy_device):
        pytest.skip(f"QEMU {qemu.shown} can use no card from outside")
    name = os.environ.get("MMIOTOOLS_GUEST")
    if not name:
        pytest.skip("MMIOTOOLS_GUEST names no folder to make a guest in; that fetches packages from Debian")
    folder = Path(name).absolute()
    words = [str(top / "samples/guest/make-guest.sh"), str(folder), "e1000", "--", COMMANDS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if "is there a network?" in done.stderr or "this works on Debian" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return folder


def served(top: Path, guest: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, report, and the guest's console."""
    command = f"-kernel {guest}/vmlinuz -initrd {guest}/initrd.img -append 'console=ttyS0 panic=-1 no_timer_check'"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mmiotools",
            "replay",
            RECORDING,
            "--json",
            "--qemu",
            command,
            "--timeout",
            "240",
            *words,
        ],
        cwd=top,
        env=os.environ | {"PYTHONPATH": str(top)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
    )
    console = done.stderr.decode(errors="replace")
    assert done.stdout, console
    return done.returncode, json.loads(done.stdout), console


def check(report: dict[str, Any], console: str) -> None:
    """The driver did what it did in the recording, and the guest is content."""
    assert report["problem"] is None, console
    assert report["in_order"] >= 12_000
    assert "NIC Link is Up 1000 Mbps Full Duplex" in console
    assert "guest: carrier 1" in console
    assert "guest: unloaded" in console
    assert "Call Trace" not in console


def test_the_driver_probes_brings_the_link_up_and_unloads(top: Path, guest: Path) -> None:
    status, report, console = served(top, guest)
    check(report, console)
    assert status == 1, "the addresses of its rings differ, at the least"
    assert {entry["offset"] for entry in report["differing"]} <= {"0x3800", "0x2800"}


def test_with_a_model_of_its_memory_it_does_all_that_was_recorded(top: Path, guest: Path, tmp_path: Path) -> None:
    out = tmp_path / "did.mmio"
    _, report, console = served(top, guest, "--plugin", "e1000-dma", "--as-trace", str(out))
    check(report, console)
    assert "Detected Tx Unit Hang" not in console
    interrupts = report["interrupts"]
    assert interrupts["delivered"] == interrupts["recorded"] == 16
    assert report["missed_count"] < 100
    did = collect(open_trace(str(out)).batches)
    assert len(did) >= report["matched"]
    assert {region.name for region in did.regions} >= {"00:03.0/BAR0", "00:03.0/BAR1"}
