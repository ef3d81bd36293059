"""cat, merge and split as commands: formats, names of files, damage, and exit statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Event, Kind
from mmiotools.formats import open_trace
from mmiotools.formats.base import read_all


def events(path: Path | str) -> list[Event]:
    return read_all(open_trace(str(path)).batches)


@pytest.fixture
def one(samples: Path) -> str:
    return str(samples / "mmiotrace" / "nvme-linux6.1.mmiotrace")


@pytest.fixture
def cut(samples: Path) -> str:
    return str(samples / "broken" / "mmiotrace-truncated.mmiotrace")


def test_cat_of_one_is_itself_and_of_two_is_both(one: str, samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mmiotrace"
    assert run(["cat", one, "-o", str(out)]) == 0
    assert out.read_bytes() == Path(one).read_bytes()
    both = tmp_path / "both"
    native = str(samples / "native" / "oddities.mmio")
    assert run(["cat", native, one, "-o", str(both)]) == 0
    assert open_trace(str(both)).container == "native"
    # The last line of the first has no end; in the middle it gets one.
    assert [event for event in events(both) if event.kind != Kind.NOTE] == [
        event._replace(extra={key: item for key, item in event.extra.items() if (key, item) != ("eol", "none")})
        for event in events(native) + events(one)
        if event.kind != Kind.NOTE
    ]


def test_a_cut_line_in_the_middle_stays_damage(
    cut: str, one: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mmiotrace"
    assert run(["cat", cut, one, "-o", str(out)]) == 3
    assert f"{cut}:169: the last line is cut off" in capfd.readouterr().err
    found = events(out)
    assert len(found) == len(events(cut)) + len(events(one))
    (torn,) = [event for event in found if event.extra.get("damaged")]
    assert torn.extra["reason"] == "the last line is cut off" and torn.extra["cut"]


def test_merge_of_parts_is_the_whole(one: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = events(one)
    for option, expression in (("reads", "read"), ("writes", "write"), ("others", "not (read or write)")):
        assert run(["filter", "--bare", expression, one, "-o", str(tmp_path / f"{option}.mmio")]) == 0
    names = [str(tmp_path / f"{name}.mmio") for name in ("others", "reads", "writes")]
    assert run(["merge", *names, "-o", str(tmp_path / "all.mmio")]) == 0
    merged = events(tmp_path / "all.mmio")
    assert sorted(map(repr, (event._replace(map=None) for event in merged))) == sorted(
        repr(event._replace(map=None)) for event in whole
    )
    times = [event.time for event in merged if event.time is not None]
    assert times == sorted(times)
    assert "ids of maps that another input has were changed" in capfd.readouterr().err


def test_merge_offsets(one: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other, out = tmp_path / "other.jsonl", tmp_path / "out.mmio"
    other.write_text('{"schema":"mmiotools.trace/1","clock":"start"}\n{"kind":"MARK","time_ns":5,"text":"here"}\n')
    assert run(["merge", one, str(other), "--offset", f"{other}=-1.5", "-o", str(out)]) == 0
    assert [event.time for event in events(out) if event.extra.get("text") == b"here"] == [5 - 1_500_000_000]
    assert "counts time from boot" in capfd.readouterr().err
    assert open_trace(str(out)).header.clock == "unknown"
    for bad in ("1", "nothing=1", f"{one}=soon", f"{one}="):
        assert run(["merge", one, str(other), "--offset", bad]) == 2
    assert run(["merge", one, one]) == 2
    assert run(["cat", "-", "-"]) == 2


def test_statuses(one: str, cut: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    out = tmp_path / "out.mmio"
    for command in ("cat", "merge"):
        assert run([command, one, cut, "-o", str(out)]) == 3
        out.unlink()
        for bad in (empty, tmp_path, tmp_path / "none"):
            assert run([command, one, str(bad), "-o", str(out)]) == 2
            assert not out.exists(), "nothing is left of what did not work"
            assert capfd.readouterr().err.strip().splitlines()[-1].startswith(f"mmiotools: {bad}: ")
        assert run([command, one, cut, "-o", one]) == 2
    assert run(["split", "--events", "50", cut, "-o", str(tmp_path / "p%d.mmio")]) == 3
    assert [len([e for e in events(path) if e.extra.get("damaged")]) for path in sorted(tmp_path.glob("p*"))] == [
        0,
        0,
        0,
        1,
    ]
    assert run(["split", "--events", "50", str(empty), "-o", str(tmp_path / "q%d.mmio")]) == 2


def test_split_names_its_parts(one: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def names(*words: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        assert run(["split", one, *words[:-1], "-o", str(folder / words[-1])]) == 0
        return sorted(path.name for path in folder.iterdir())

    assert names("--events", "200", "a.jsonl.gz") == ["a-001.jsonl.gz", "a-002.jsonl.gz"]
    assert names("--time", "4s", "100%%-%d") == ["100%-1", "100%-2"]
    assert names("--device", "%s.mmio") == ["00-03.0.mmio"]
    assert "00-03.0.mmio: 00:03.0" in capfd.readouterr().err
    assert len(names("--size", "8k", "x-%d.mmiotrace")) == 2
    assert names("--mark", "nothing like it", "p") == ["p-001"]
    for words in (
        ["--events", "1", "--device"],
        [],
        ["--size", "0"],
        ["--size", "1x"],
        ["--time", "0"],
        ["--time", "-1"],
        ["--time", "9" * 20],
        ["--mark", "("],
    ):
        assert run(["split", one, *words, "-o", str(tmp_path / "x%d")]) == 2
    for name in ("%s", "%x", "-"):
        assert run(["split", one, "--events", "9", "-o", name]) == 2
