"""The bundled drivers do what their docstrings say, their versions differ in what they say, and words find them."""

from __future__ import annotations

from collections import Counter

import pytest

from mmiotools.devices.nv_card import NvCard
from mmiotools.drivers import DRIVERS, choose_driver, find_driver, nv_init, nv_test
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind


def run(word: str, **options) -> tuple[Outcome, list[Event]]:
    driver, version = find_driver(word)
    events: list[Event] = []
    return run_driver(driver.versions[version], NvCard(), emit=events.append, **options), events


def touched(outcome: Outcome) -> list[tuple]:
    return [tuple(seen) for seen in outcome.seen if seen.region != "config"]


def kinds(events: list[Event]) -> list[Kind]:
    return [event.kind for event in events if event.kind not in (Kind.HEADER, Kind.DEVICE)]


def test_nv_test_1_is_the_driver_of_2007():
    outcome, events = run("nv-test@1")
    assert outcome.error is None
    assert outcome.returned == 0
    assert touched(outcome) == [("R", "BAR0", 0x101000, 4, 0x400000), ("W", "BAR0", 0x600140, 4, 0)]
    assert kinds(events) == [Kind.MAP, Kind.READ, Kind.WRITE]
    mapping = events[2]
    assert (mapping.addr, mapping.extra["length"]) == (0xFD000000, 0x1000000)
    assert [event.addr for event in events[3:]] == [0xFD101000, 0xFD600140]
    assert outcome.log == ["doing a poke()", "read 400000 from 0x101000", "wrote 0 to 0x600140"]


class FakeKernel:
    """Notes the calls of a driver, in order."""

    def __init__(self, enable: int = 0, request: int = 0) -> None:
        self.calls: list[str] = []
        self._results = {"pci_enable_device": enable, "pci_request_regions": request, "ioremap": 0x1000, "read": 1}

    def __getattr__(self, name: str):
        def call(*args):
            if name != "printk":
                self.calls.append(" ".join([name, *map(str, args)]))
            return self._results.get(name, 0)

        return call


def test_nv_test_1_calls_the_kernel_in_the_order_of_2007():
    kernel = FakeKernel()
    assert nv_test.probe_1(kernel) == 0
    assert kernel.calls == [
        "pci_enable_device",
        "pci_request_regions nv-test",
        "pci_set_master",
        "pci_resource_start 0",
        f"ioremap 0 {0x1000000}",
        f"read {0x102000} 4",
        f"write {0x601140} 4 0",
        f"pci_set_drvdata {0x1000}",
        "pci_disable_device",
        "pci_set_drvdata None",
    ]


@pytest.mark.parametrize("probe", [nv_test.probe_1, nv_test.probe_2])
def test_nv_test_error_paths(probe):
    kernel = FakeKernel(enable=-5)
    assert probe(kernel) == -5
    assert kernel.calls == ["pci_enable_device"]
    kernel = FakeKernel(request=-16)
    assert probe(kernel) == -16
    assert kernel.calls[1:] == ["pci_request_regions nv-test", "pci_disable_device", "pci_set_drvdata None"]


def test_nv_test_2_accesses():
    outcome, _ = run("nv-test@2")
    accesses = touched(outcome)
    assert accesses[:2] == [("W", "BAR0", 0x600100, 4, 1), ("W", "BAR0", 0x600140, 4, 1)]
    polls = accesses[2:]
    assert 3 <= len(polls) <= nv_test.POLL_TRIES
    assert polls == [("R", "BAR0", 0x600100, 4, 0)] * (len(polls) - 1) + [("R", "BAR0", 0x600100, 4, 1)]


@pytest.mark.parametrize(("module", "name"), [(nv_test, "nv-test"), (nv_init, "nv-init")])
def test_versions_differ_in_exactly_what_is_listed(module, name):
    """As multisets, so that no aligner is needed: what moves is in both, all else is in one."""
    one, two = (Counter(touched(run(f"{name}@{version}")[0])) for version in "12")
    only_one, only_two = one - two, two - one
    for difference in module.DIFFERENCES:
        place = (difference.op, "BAR0", difference.offset, difference.width)
        if difference.kind == "move":
            assert (one[*place, difference.old], two[*place, difference.new]) == (1, 1)
        gone = {key for key in only_one if key[:4] == place} if difference.kind in ("delete", "change") else set()
        new = {key for key in only_two if key[:4] == place} if difference.kind in ("insert", "change") else set()
        assert bool(gone) == (difference.kind in ("delete", "change"))
        assert bool(new) == (difference.kind in ("insert", "change"))
        for key, value, left in [(k, difference.old, only_one) for k in gone] + [
            (k, difference.new, only_two) for k in new
        ]:
            assert value is None or key[4] == value
            assert difference.times is None or left[key] == difference.times
            del left[key]
    assert not only_one
    assert not only_two


def test_nv_init_swaps_two_writes():
    def order(word: str) -> list[int]:
        return [a[2] for a in touched(run(word)[0]) if a[0] == "W" and a[2] in (0x600800, 0x600804)]

    assert order("nv-init@1") == [0x600800, 0x600804]
    assert order("nv-init@2") == [0x600804, 0x600800]


@pytest.mark.parametrize("version", ["1", "2"])
def test_nv_init_uses_all_a_trace_has(version):
    outcome, events = run(f"nv-init@{version}")
    assert outcome.returned == 0
    counts = Counter(kinds(events))
    assert counts[Kind.MAP] == counts[Kind.UNMAP] == 2
    assert counts[Kind.MARK] == 5
    assert counts[Kind.READ] + counts[Kind.WRITE] == len(touched(outcome)) > 80
    assert {event.width for event in events if event.kind <= Kind.WRITE} == {1, 2, 4, 8}


@pytest.mark.parametrize(("call", "code"), [("pci_enable_device", -5), ("pci_request_regions", -16)])
def test_nv_init_error_paths(call, code):
    outcome, events = run("nv-init", fail={call: code})
    assert outcome.returned == code
    assert kinds(events) == []


def test_nv_init_refuses_another_card():
    class Other(NvCard):
        def read(self, region: str, offset: int, width: int) -> int:
            super().read(region, offset, width)
            return 0

    outcome = run_driver(nv_init.probe_1, Other(), emit=lambda event: None)
    assert outcome.returned == -nv_init.ENODEV


def test_words():
    assert find_driver("nv-test") == (nv_test.DRIVER, "1")
    assert choose_driver("nv-init@2") == (nv_init.DRIVER, "2", None)
    assert all(row.problem is None and row.title for row in DRIVERS.listing())
    with pytest.raises(UsageError, match="no version '3'; there are: 1, 2"):
        find_driver("nv-test@3")
    with pytest.raises(UsageError, match="no driver is called 'nvtest'"):
        choose_driver("nvtest")


def test_driver_files(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class DRIVER:\n name = 'mine'\n device = 'nv-card'\n versions = {'1': lambda k: 0, '7': lambda k: -7}\n"
    )
    assert choose_driver(f"{file}@7")[1:] == ("7", str(file))
    assert choose_driver(str(file)).driver.name == "mine"
    with pytest.raises(UsageError, match="no version '2'"):
        choose_driver(f"{file}@2")
    with pytest.raises(UsageError, match="no such driver file"):
        choose_driver(str(tmp_path / "none.py"))
    file.write_text("class DRIVER:\n name = 'mine'\n")
    with pytest.raises(UsageError, match="has no versions"):
        choose_driver(str(file))


def test_a_file_with_a_probe_function_alone_is_a_driver(tmp_path):
    file = tmp_path / "poke.py"
    file.write_text("def probe(kernel):\n    return -7\n")
    driver, version, path = choose_driver(str(file))
    assert (driver.name, driver.device, version, path) == ("poke", "", "1", str(file))
    assert driver.versions["1"](None) == -7
    with pytest.raises(UsageError, match="has no version '2'"):
        choose_driver(f"{file}@2")
    file.write_text("probe = 3\n")
    with pytest.raises(UsageError, match="has no name"):
        choose_driver(str(file))
    file.write_text("")
    with pytest.raises(UsageError, match="defines no DRIVER and no probe"):
        choose_driver(str(file))
