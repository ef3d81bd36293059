"""`mmiotools record` with drivers for several CPUs that fail: who is named, and what is kept."""

from __future__ import annotations

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Kind
from mmiotools.formats import open_trace
from mmiotools.trace.collect import collect

DRIVER = """\
from mmiotools.engine.instructions import Load, Store


def other(base):
    for turn in range(10):
        yield Store(base + 0x600800, 4, turn)
    {bad}


def probe(k):
    base = k.ioremap(k.pci_resource_start(0), 0x1000000)
    if k.cpus == 1:
        return (yield from other(base))
    task = k.start(1, other(base))
    yield task.done
    return 0


class DRIVER:
    name = 'mine'
    device = 'nv-card'
    versions = {{'1': probe}}
"""


@pytest.mark.parametrize("cpus", ["1", "2"])
@pytest.mark.parametrize("engine", ["emulate", "step"])
@pytest.mark.parametrize(
    ("bad", "message", "beyond"),
    [
        ("[][0]", "IndexError: list index out of range", None),
        ("yield Load(base + 0x1000000, 4)", "read at {:#x}, which is not mapped", 0x1000000),
        ("yield Store(base + 0x1000004, 1, 0)", "write at {:#x}, which is not mapped", 0x1000004),
        ("yield Store(0x10, 2, 0)", "write at 0x10, which is not mapped", None),
    ],
)
def test_a_driver_that_fails_is_named_and_the_trace_is_kept(
    tmp_path, monkeypatch, capfd, bad, message, beyond, engine, cpus
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(DRIVER.format(bad=bad))
    assert run(["record", "./mine.py", "--cpus", cpus, "--engine", engine, "--check", "-o", "x.mmio"]) == 2
    err = capfd.readouterr().err
    if beyond is not None:
        events = [batch.event(row) for batch in open_trace("x.mmio").batches for row in range(len(batch))]
        message = message.format(next(event.extra["virt"] for event in events if event.kind == Kind.MAP) + beyond)
    assert f"mine.py:7: {message}" in err
    assert "Traceback" not in err
    assert "0 lost, 0 wrong, 0 invented" in err
    assert run(["check", "x.mmio"]) == 0
    assert len(collect(open_trace("x.mmio").batches)) == 10
    assert run(["replay", "x.mmio", "--driver", "mine.py"]) == 2
    assert f"mine.py:7: {message}" in capfd.readouterr().err
