"""Plain command lines mean the same without click as with it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmiotools.cli import diff as diff_command
from mmiotools.cli import differing, front
from mmiotools.cli import filter as filter_command
from mmiotools.cli import info as info_command
from mmiotools.cli.differing import Request as Difference
from mmiotools.cli.filtering import Request
from mmiotools.filters.polls import TURNS

words = st.sampled_from(
    [
        *front.FILTER.flags,
        *front.FILTER.values,
        "-",
        "--",
        "",
        "read",
        "trace.mmio",
        "jsonl",
        "-vq",
        "-tjsonl",
        "--to=csv",
        "--time=1-2",
        "-t=csv",
        "--head",
        "3",
        "--no-such",
        "--co",
    ]
)


@given(st.lists(words, max_size=6))
@example(["read", "x", "-o", "-"])
@example(["read", "--to", ""])
@example(["read", "-t", "csv", "-t", "tsv"])
def test_what_is_understood_is_what_click_understands(line: list[str]) -> None:
    plain = front.understood(front.FILTER, line)
    if plain is None:
        return
    seen: list[Request] = []
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr(filter_command, "filter_trace", lambda request: seen.append(request) or 0)
        filter_command.command.main(line, standalone_mode=False)
    assert [Request()._replace(**plain)] == [request._replace(poll_turns=0) for request in seen]
    assert all(request.poll_turns == TURNS for request in seen)


@given(st.lists(words | st.sampled_from(["--json", "a.mmio"]), max_size=6))
def test_what_is_asked_of_info_is_what_click_understands(line: list[str]) -> None:
    plain = front.understood(front.INFO, line)
    if plain is None:
        return
    seen: list[dict[str, object]] = []
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr(info_command, "summarise", lambda traces, **named: seen.append({"traces": traces, **named}) or 0)
        info_command.command.main(line, standalone_mode=False)
    usual = {"as_json": False, "regs": (), "from_format": None, "quiet": False}
    assert [usual | plain | {"traces": tuple(plain["traces"])}] == seen


@given(
    st.lists(
        st.sampled_from(
            [*front.DIFF.flags, *front.DIFF.values, "a", "b.mmio", "3", "-3", "03", "x", "", "-", "--", "-U0", "--st"]
        ),
        max_size=6,
    )
)
@example(["a", "b", "-U", "0", "--view", "json"])
@example(["a", "b", "-U", "\N{SUPERSCRIPT TWO}"])
@example(["a", "b", "--context=2", "-U", "1"])
def test_what_is_asked_of_diff_is_what_click_understands(line: list[str]) -> None:
    seen: list[Difference] = []
    note = lambda request: seen.append(request) or 0  # noqa: E731
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr(differing, "compare_traces", note)
        patch.setattr(diff_command, "compare_traces", note)
        plain = front.plain_command(["diff", *line])
        if plain is None:
            return
        plain()
        diff_command.command.main(line, standalone_mode=False)
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_the_plainest_lines_are_understood() -> None:
    line = ["write and offset < 0x100", "a.mmio", "-t", "mmiotrace", "--time=1-2", "-v", "--count", "-o", "b.mmiotrace"]
    assert front.understood(front.FILTER, line) == {
        "expression": "write and offset < 0x100",
        "input": "a.mmio",
        "to_format": "mmiotrace",
        "times": "1-2",
        "invert": True,
        "counts": True,
        "output": "b.mmiotrace",
    }
    assert front.understood(front.INFO, ["a", "--json", "b"]) == {"traces": ["a", "b"], "as_json": True}


@pytest.mark.parametrize(
    "line", [["--help"], ["read", "--tail", "3"], ["--time", "-5"], ["a", "b", "c"], ["x", "-t"], ["-t", "csv"], []]
)
def test_all_else_is_left_to_click(line: list[str]) -> None:
    assert front.understood(front.FILTER, line) is None


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MMIOTOOLS_COMPLETE", "bash_complete")
    assert front.plain_command(["filter", "read"]) is None
