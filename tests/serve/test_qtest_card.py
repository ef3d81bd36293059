"""A recording applied to a device of QEMU's: a stand-in for QEMU everywhere, the real one where it is there."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import Cli

from mmiotools.errors import UsageError
from mmiotools.serve.qemu import Qemu
from mmiotools.serve.qtest_card import QemuModel

FAKE = str(Path(__file__).with_name("fake_qemu.py"))
CARD = '{"kind":"DEVICE","bdf":"00:03.0","vendor":"1234","device":"5678","bars":[%s]}'
BAR = '{"number":%d,"addr":"%#x","size":"%#x","flags":0}'
E1000 = "samples/mmiotrace/e1000-linux6.1.mmiotrace.xz"


def recording(accesses: list[tuple[str, int, int, int]], base: int = 0xE0000000, size: int = 0x1000) -> bytes:
    """JSON Lines of accesses of 4 bytes: (kind, microseconds, offset, value)."""
    lines = ['{"schema":"mmiotools.trace/1"}', CARD % (BAR % (0, base, size))]
    lines += [
        json.dumps({"kind": k, "time_ns": t * 1000, "width": 4, "addr": f"{base + at:#x}", "value": f"{value:#x}"})
        for k, t, at, value in accesses
    ]
    return "\n".join([*lines, ""]).encode()


@pytest.fixture
def fake(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with a stand-in for QEMU."""
    monkeypatch.setenv("QEMU", FAKE)
    monkeypatch.setenv("FAKE_ACCEL", "1")
    return cli


def report(done: CompletedProcess[bytes]) -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_the_clock_is_the_recordings(fake: Cli) -> None:
    times = [100, 100, 250, 200, 5_000_000]
    accesses = [("READ", time, 0, value) for time, value in zip(times, [0, 0, 150, 150, 4_999_900], strict=True)]
    done = fake("replay", "--json", "--device", "qemu:fake", input=recording(accesses))
    assert (done.returncode, report(done)["matched"]) == (0, 5), done.stderr
    half = fake("replay", "--json", "--timing", "scaled=0.5", "--device", "qemu:fake", input=recording(accesses))
    assert [entry["got"] for entry in report(half)["differing"]] == ["0x4b", "0x4b", "0x26256e"]
    still = fake("replay", "--json", "--timing", "none", "--device", "qemu:fake", input=recording(accesses))
    assert {entry["got"] for entry in report(still)["differing"]} == {"0x0"}


def test_without_a_clock_to_step_time_is_real(fake: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_ACCEL")
    accesses = [("WRITE", i, 8 + 4 * (i % 500), i) for i in range(1000)]
    accesses += [("READ", 50_000 + i, 8 + 4 * (i % 500), i) for i in range(500, 1000)]
    done = fake("replay", "--json", "--device", "qemu:fake", input=recording(accesses))
    assert (done.returncode, report(done)["matched"]) == (0, 1500), done.stderr


def test_bars_lie_where_they_can(fake: Cli) -> None:
    accesses = [("WRITE", 0, 8, 5), ("READ", 1, 8, 5), ("READ", 2, 0x2000, 0)]
    for base in (0x20000, 0xFEE00000, 0xE0000800, 1 << 36):
        done = fake("replay", "--json", "--device", "qemu:fake", input=recording(accesses, base, 0x4000))
        assert report(done)["matched"] == 3, (base, done.stderr)
        assert "BAR0 of qemu:fake has 0x1000 bytes, the recorded one 0x4000" in report(done)["limits"]


def test_a_bar_that_is_not_there(fake: Cli) -> None:
    data = recording([("READ", 0, 0, 0)]).replace(b'"number":0', b'"number":2')
    done = fake("replay", "--device", "qemu:fake", input=data)
    assert (done.returncode, done.stderr) == (2, b"mmiotools: qemu:fake has no BAR2, which the recording accesses\n")


@pytest.mark.parametrize("accel", ["", "1"])
def test_death_on_the_way_is_told_and_what_was_found_is_kept(
    fake: Cli, monkeypatch: pytest.MonkeyPatch, accel: str
) -> None:
    monkeypatch.setenv("FAKE_ACCEL", accel)
    monkeypatch.setenv("FAKE_DIES", "700")
    accesses = [("READ", 1000 + i, 8, i == 600) for i in range(1000)]
    done = fake("replay", "--json", "--device", "qemu:fake", input=recording(accesses))
    assert done.returncode == 2
    assert done.stderr == b"mmiotools: QEMU 9.9.9 was killed by SIGABRT: fake: assertion failed\n"
    found = report(done)
    assert (found["matched"], found["differing_count"], found["missed_count"]) == (698, 1, 301)
    assert found["verdict"] == "diverged" and "SIGABRT" in found["problem"]


@pytest.mark.parametrize("word", ["qemu:", "qemu:a b", "qemu:e1000,x", "qemu:e1000;id", "qemu:-device"])
def test_words_that_are_no_device(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", FAKE)
    with pytest.raises(UsageError, match="is no device of QEMU"):
        QemuModel.parse(word)


def test_no_qemu(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", "/nowhere/qemu")
    done = cli("replay", "--device", "qemu:e1000", E1000)
    assert (done.returncode, b"apt install" in done.stderr, done.stdout) == (2, True, b"")
    assert cli("replay", "--timing", "scaled=0", "--device", "qemu:e1000", E1000).returncode == 2


@pytest.mark.slow
def test_qemus_own_e1000_answers_as_the_hardware_did(qemu: Qemu, cli: Cli) -> None:
    done = cli("replay", "--json", "--device", "qemu:e1000", E1000)
    found = report(done)
    assert done.returncode == 1, done.stderr
    assert found["accesses"] == 14093 and found["reads"] == 7392 and found["missed_count"] == 0
    assert found["differing_count"] / found["reads"] <= 0.01
    still = report(cli("replay", "--json", "--timing", "none", "--device", "qemu:e1000", E1000))
    assert still["differing_count"] > found["differing_count"]


@pytest.mark.slow
def test_a_device_that_qemu_refuses(qemu: Qemu, cli: Cli) -> None:
    done = cli("replay", "--device", "qemu:no-such-device", E1000)
    assert done.returncode == 2 and b"has no device 'no-such-device'" in done.stderr
    done = cli("replay", "--device", "qemu:e1000,mac=x", E1000)
    assert done.returncode == 2 and b"ended with status 1" in done.stderr and done.stderr.count(b"\n") == 1

