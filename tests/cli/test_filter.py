"""The command: what passes, in which format, and with which exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmiotools.cli.main import run

LINES = (
    "VERSION 20070824",
    "PCIDEV 0018 8086100e b febc0000 c001 0 0 0 0 feb80000 20000 40 0 0 0 0 40000 e1000",
    "MAP 1.000000 1 0xfebc0000 0xffffcfc4405c0000 0x20000 0x0 0",
    "MARK 1.500000 begin",
    "W 4 2.000000 1 0xfebc0100 0x5 0x0 0",
    *(f"R 4 3.{at:06} 1 0xfebc0008 0x0 0x0 0" for at in range(20)),
    "R 4 3.000020 1 0xfebc0008 0x1 0x0 0",
    "MARK 4.000000 end",
    "W 1 5.000000 1 0xfebc0010 0xff 0x0 0",
)
CONTEXT = LINES[:3]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "trace"
    file.write_text("\n".join(LINES) + "\n")
    return str(file)


def lines(capfd: pytest.CaptureFixture[str]) -> tuple[str, ...]:
    out, err = capfd.readouterr()
    assert err == ""
    return tuple(out.splitlines())


def test_it_keeps_the_format_and_the_context(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", "write and offset in 0x100-0x1ff", path]) == 0
    assert lines(capfd) == (*CONTEXT, LINES[4])
    assert run(["filter", "--bare", "bar == 0 and value & 0x80 != 0", path]) == 0
    assert lines(capfd) == (LINES[-1],)
    assert run(["filter", "-v", "access", path]) == 0
    assert lines(capfd) == (*CONTEXT, LINES[3], LINES[-2])


def test_stages_without_and_with_an_expression(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", "--from-mark", "beg", "--to-mark", "^end$", "", path]) == 0
    assert lines(capfd) == LINES[:-1]
    assert run(["filter", "--time", "4-", "all", path]) == 0
    assert lines(capfd) == (*CONTEXT, *LINES[-2:])
    assert run(["filter", "--tail", "1", "write", path]) == 0
    assert lines(capfd) == (*CONTEXT, LINES[-1])
    assert run(["filter", "--head", "1", "write", path]) == 0
    assert lines(capfd) == (*CONTEXT, LINES[4])


def test_folding_and_unfolding(path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short"
    assert run(["filter", "--fold-polls", "", path, "-o", str(short)]) == 0
    text = short.read_text().splitlines()
    assert len(text) == len(LINES) - 18
    assert text[6].startswith("# poll x19 over 18 us: R4 0xfebc0008 0x0 -> 0x1 = ")
    assert run(["filter", "--unfold", "", str(short)]) == 0
    assert lines(capfd) == LINES
    assert run(["filter", "--unfold", "--count", "read", str(short)]) == 0
    assert lines(capfd) == ("21",)


def test_a_folded_loop_that_was_damaged_is_counted(
    path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short"
    assert run(["filter", "--fold-polls", "", path, "-o", str(short)]) == 0
    short.write_text(short.read_text().replace(" 0x0 -> 0x1 = ", " 0x0 -> 0x1 = AAAA"))
    assert run(["filter", "--unfold", "--count", "read", str(short)]) == 3
    out, err = capfd.readouterr()
    assert out == "2\n"
    assert "events lost: 19" in err


def test_count_and_exit_status(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", "--count", "write", path]) == 0
    assert lines(capfd) == ("2",)
    assert run(["filter", "-e", "--count", "value == 0x77", path]) == 1
    assert lines(capfd) == ("0",)
    assert run(["filter", "value == 0x77", path]) == 0
    assert lines(capfd) == CONTEXT
    assert run(["filter", "-e", "value == 5", path]) == 0
    assert lines(capfd) == (*CONTEXT, LINES[4])


def test_explain_reads_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", "--explain", "write and offset in 0x100+16", "/nowhere"]) == 0
    assert lines(capfd) == (
        "write and offset in 0x100-0x10f",
        "  all of:",
        "    the event is WRITE",
        "    offset is 0x100 to 0x10f, both included",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vlaue == 1"], "did you mean 'value'? (column 1)"),
        ([], "no expression"),
        (["--from-mark", "(", "all"], "bad regular expression"),
        (["--time", "2-1", "all"], "empty"),
        (["--head", "-1", "all"], "-1"),
        (["all", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_done(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_file_in_the_place_of_the_expression_is_told(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["filter", "--head", "1", path]) == 2
    assert f"'{path}' is a file, and EXPR comes before it, as in mmiotools filter all {path}" in capfd.readouterr().err


def test_damage_passes_and_is_told(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    broken = "R 4 3.5 1 0xfebc0008"
    Path(path).write_text("\n".join([*LINES[:5], broken, *LINES[5:]]) + "\n")
    assert run(["filter", "mark", path]) == 3
    out, err = capfd.readouterr()
    assert out.splitlines()[-2] == broken or broken in out
    assert "events lost: 1" in err
