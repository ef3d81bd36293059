"""`mmiotools replay`, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmiotools.cli.main import run
from mmiotools.formats import open_trace
from mmiotools.trace.collect import collect


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for word in ("nv-test@1", "nv-test@2", "nv-init@1", "nv-init@2"):
        assert run(["record", "-q", word, "-o", str(folder / f"{word}.mmiotrace")]) == 0
    return folder


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_the_recorded_driver_completes(recordings, policy, capfd):
    assert run(["replay", "--json", "--policy", policy, str(recordings / "nv-test@2.mmiotrace")]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["schema"], report["policy"], report["verdict"]) == ("mmiotools.replay/1", policy, "completed")
    assert report["matched"] == report["accesses"] > 3


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_another_version_diverges(recordings, policy, capfd):
    trace = str(recordings / "nv-test@1.mmiotrace")
    assert run(["replay", "--policy", policy, "--driver", "nv-test@2", trace]) == 1
    out = capfd.readouterr().out
    assert out.startswith("diverged: driver nv-test@2 against 01:00.0 (10de:0286)")
    assert "+ " in out and "W 4 01:00.0/BAR0+0x600100 = 0x1   the driver" in out


def test_as_trace_holds_what_the_driver_did(recordings, tmp_path, capfd):
    out = tmp_path / "did.mmio"
    trace = str(recordings / "nv-init@1.mmiotrace")
    assert run(["replay", "-q", trace, "--as-trace", str(out)]) == 0
    ours, theirs = (collect(open_trace(path).batches) for path in (str(out), trace))
    assert [ours.access(n).key for n in range(len(ours))] == [theirs.access(n).key for n in range(len(theirs))]
    assert run(["replay", "-q", str(out)]) == 0
    assert run(["replay", "-q", trace, "--as-trace", trace]) == 2
    assert "also the input" in capfd.readouterr().err


def test_device_model(recordings, capfd):
    assert run(["replay", "--json", "--device", "nv-card", str(recordings / "nv-test@1.mmiotrace")]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["policy"], report["matched"], report["registers"]) == ("device", 2, [])


#: Answers a device's reads with how many came before, and does what the test says at the 6th.
COUNTS = """
from mmiotools.devices.nv_card import NvCard
class DEVICE(NvCard):
    count = 0
    def read(self, region, offset, width):
        self.count += 1
        if self.count == 6:
            %s
        return self.count
"""


@pytest.mark.parametrize(
    ("end", "status", "problem"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("1 / 0", 2, "nv-card failed: ZeroDivisionError('division by zero')"),
    ],
)
def test_a_device_that_is_interrupted_or_fails_has_a_report(recordings, tmp_path, capfd, end, status, problem):
    device = tmp_path / "counts.py"
    device.write_text(COUNTS % end)
    words = ["replay", str(recordings / "nv-init@1.mmiotrace"), "--device", str(device), "--regs", "nv-card"]
    assert run([*words, "--json"]) == status
    held = capfd.readouterr()
    report = json.loads(held.out)
    assert (report["reads"], report["problem"], held.err) == (5, problem, f"mmiotools: {problem}\n")
    assert report["accesses"] == report["matched"] + report["differing_count"] + report["missed_count"]
    assert run(words) == status
    assert problem in capfd.readouterr().out


def test_names_masks_and_tolerance_are_a_devices_too(samples, tmp_path, capfd):
    device = tmp_path / "counts.py"
    device.write_text(COUNTS % "pass")
    trace = str(samples / "mmiotrace/nv-init-1.mmiotrace")
    words = ["replay", "-q", "--json", trace, "--device", str(device), "--regs", "nv-card"]
    assert run(words) == 1
    plain = json.loads(capfd.readouterr().out)
    worst = plain["registers"][0]
    assert worst["register"] and any(entry["register"] == worst["register"] for entry in plain["differing"])
    assert run([*words, "--fuzz", str(plain["differing_count"])]) == 0
    capfd.readouterr()
    mask = tmp_path / "mask.toml"
    mask.write_text(f'[[mask]]\nregister = "{worst["register"]}"\nbits = 0xffffffff\n')
    assert run([*words, "--mask", str(mask)]) == 1
    masked = json.loads(capfd.readouterr().out)
    assert masked["differing_count"] == plain["differing_count"] - worst["differing"]
    assert run([*words, "--ignore", worst["register"]]) == 1
    ignored = json.loads(capfd.readouterr().out)
    assert ignored["differing_count"] == masked["differing_count"]
    assert ignored["ignored"] >= worst["reads"] and ignored["missed_count"] == 0


def test_a_driver_that_is_interrupted_has_a_report(recordings, tmp_path, capfd):
    driver = tmp_path / "stops.py"
    driver.write_text(
        "def probe(k):\n    k.readl(k.ioremap(k.pci_resource_start(0), 4096))\n    raise KeyboardInterrupt\n"
    )
    out = tmp_path / "did.jsonl"
    words = ["replay", "--json", str(recordings / "nv-init@1.mmiotrace"), "--driver", str(driver)]
    assert run([*words, "--as-trace", str(out)]) == 130
    report = json.loads(capfd.readouterr().out)
    assert (report["problem"], report["matched"]) == ("interrupted", 1)
    assert out.read_text().count('"kind":"READ"') == 1


def test_driver_file_runs_only_when_named(recordings, tmp_path, capfd):
    marker = tmp_path / "ran"
    driver = tmp_path / "mine.py"
    driver.write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "def probe(k):\n    k.readl(k.ioremap(k.pci_resource_start(0), 4096))\n    return 0\n"
        "class DRIVER:\n    name = 'mine'\n    device = 'nv-card'\n    versions = {'1': probe}\n"
    )
    out = tmp_path / "x.mmio"
    assert run(["record", str(driver), "-o", str(out)]) == 0
    marker.unlink()
    assert run(["replay", str(out)]) == 2
    assert "give --driver FILE" in capfd.readouterr().err
    assert not marker.exists()
    assert run(["replay", str(out), "--driver", str(driver)]) == 0
    assert marker.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--policy", "loose"], "no policy is called 'loose'"),
        (["--driver", "nv-test", "--device", "nv-card"], "exclude each other"),
        (["--device", "nv-card", "--as-trace", "x"], "--as-trace and --device exclude each other"),
        (["--device", "nv-card", "--policy", "window"], "--policy and --device exclude each other"),
        (["--device", "nv-card", "--qemu", ""], "--qemu and --device exclude each other"),
        (["--pci", "00:1f.0"], "00:1f.0 is not accessed"),
        (["--driver", "no-such"], "no driver is called"),
    ],
)
def test_usage(recordings, args, message, capfd):
    assert run(["replay", str(recordings / "nv-test@1.mmiotrace"), *args]) == 2
    assert message in capfd.readouterr().err


def test_a_recording_that_names_no_driver(recordings, tmp_path, capfd):
    bare = tmp_path / "bare.mmiotrace"
    lines = (recordings / "nv-test@1.mmiotrace").read_bytes().splitlines(keepends=True)
    bare.write_bytes(b"".join(line for line in lines if not line.startswith(b"#")))
    assert run(["replay", str(bare)]) == 2
    assert "names no driver: give --driver" in capfd.readouterr().err
    assert run(["replay", "-q", str(bare), "--driver", "nv-test"]) == 0


def test_in_a_pipe(recordings):
    command = f"{sys.executable} -m mmiotools record -q nv-init | {sys.executable} -m mmiotools replay -q --json -"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["verdict"] == "completed"
    assert done.stderr == b""


@pytest.mark.parametrize(
    "words",
    [
        ["nv-smp", "--cpus", "4"],
        ["nv-smp", "--cpus", "2", "--machine", "i386", "--engine", "step"],
        ["nv-init", "--machine", "i386"],
        ["nv-init", "--compat", "seed"],
        ["nv-init", "--compat", "mainline"],
        ["--scenario", "surprise-removal"],
        ["nv-init", "--inject", "remove after 20"],
        ["nv-smp", "--cpus", "2", "--inject", "read BAR0+0x600100 flip 0.5"],
    ],
)
def test_the_machine_of_the_recording_is_the_machine_of_the_replay(words, tmp_path, capfd):
    out = str(tmp_path / "x.mmio")
    assert run(["record", *words, "-o", out]) == 0
    theirs = capfd.readouterr().err
    again = str(tmp_path / "again.mmio")
    assert run(["replay", "--json", out, "--as-trace", again]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["verdict"], report["matched"]) == ("completed", report["accesses"])
    assert report["problem"] is None
    assert run(["replay", "-q", again]) == 0
    capfd.readouterr()
    # What the driver said is said again, before and after the trace went round.
    assert run(["replay", again]) == 0
    kernel = [line for line in theirs.splitlines() if "kernel: " in line]
    assert [line for line in capfd.readouterr().err.splitlines() if "kernel: " in line] == kernel


def test_a_recursive_fault_is_replayed_with_its_status(tmp_path, capfd):
    out = str(tmp_path / "x.mmio")
    assert run(["record", "--scenario", "stale-pgd", "-o", out]) == 1
    assert run(["replay", out]) == 1
    held = capfd.readouterr()
    assert held.out.startswith("completed: driver nv-test@1")
    assert "faulted 51 times" in held.err


def test_what_a_recording_does_not_hold_is_said(tmp_path, capfd):
    out = str(tmp_path / "x.mmio")
    assert run(["record", "-q", "block-init", "-o", out]) == 0
    assert run(["replay", "-q", out]) == 0
    capfd.readouterr()
    assert run(["replay", "-q", "--irq", "none", out]) == 1
    text = capfd.readouterr().out
    assert "the model block stands in" in text
    assert "nothing says when the card raised its line" in text


def test_options_of_policy_and_interrupts_reach_the_report(tmp_path, capfd):
    out = str(tmp_path / "x.mmiotrace")
    assert run(["record", "-q", "nic-init", "-o", out]) == 0
    words = ["replay", "-q", "--json", out, "--driver", "nic-init@2", "--regs", "e1000", "--irq", "ICR"]
    assert run(words) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["interrupts"] == {"recorded": 5, "delivered": 2, "idle": 0, "source": "ICR"}
    assert (report["model"], report["polls"]) == ("nic", {"more": 0, "fewer": 0})
    assert [entry["register"] for entry in report["differing"]] == ["RDLEN", "RDT", "RCTL"]
    # The interrupt comes later, so that the driver looks once more whether it has come.
    assert run([*words, "--fuzz", "12", "--window", "100", "--timing", "scaled=2"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["fuzz"], report["extra"][-1]["register"]) == (12, "STATUS")
    mask = tmp_path / "mask.toml"
    mask.write_text('[[mask]]\nregister = "RCTL"\nbits = 0xc0\n')
    ignored = [word for name in ("RDLEN", "RDT", "MDIC", "TDT", "ICR") for word in ("--ignore", name)]
    assert run([*words, "--mask", str(mask), *ignored]) == 0
    assert json.loads(capfd.readouterr().out)["ignored"] > 20


@pytest.mark.parametrize(
    "words",
    [
        ["--window", "0"],
        ["--timing", "slow"],
        ["--irq", "BAR0+0x99999"],
        ["--irq", "ICR & &"],
        ["--fuzz", "-1"],
        ["--mask", "none-such.toml"],
        ["--ignore", "BAR0+"],
        ["--regs", "none-such"],
        ["--policy", "none-such"],
    ],
)
def test_options_that_make_no_sense(recordings, words, capfd):
    assert run(["replay", str(recordings / "nv-test@1.mmiotrace"), *words]) == 2
    held = capfd.readouterr()
    assert held.out == ""
    assert "Traceback" not in held.err


def test_a_cause_register_that_was_guessed_is_told(tmp_path, samples, capfd):
    driver = tmp_path / "idle.py"
    driver.write_text("def probe(kernel):\n    return 0\n")
    words = ["replay", str(samples / "versions/e1000/base-1.mmio"), "--driver", str(driver)]
    assert run(words) == 1
    held = capfd.readouterr()
    assert "interrupts: BAR0+0xc0, by what it looks like; --irq names another register, or none" in held.err
    assert "16 recorded, 0 delivered" in held.out
