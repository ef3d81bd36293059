"""Views: what is printed for a known comparison, and that the JSON says all that it takes to patch."""

from __future__ import annotations

import json
from itertools import chain, islice

from diff_helpers import edited_pairs, keys, recording, writes
from hypothesis import given

from mmiotools.diff.hunks import Comparison, compare
from mmiotools.diff.views import DEFAULT, VIEWS
from mmiotools.diff.views.base import Options
from mmiotools.events import Event, Kind
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import collect

BARS = [{"number": 0, "addr": 0xFEBC0000, "size": 0x20000, "flags": 0}]
CARD = Event(Kind.DEVICE, extra={"bdf": 0x18, "vendor": 0x8086, "device": 0x100E, "bars": BARS})


def card(*rows: tuple[Kind, int, int | None]) -> Accesses:
    events = [Event(kind, width=4, addr=0xFEBC0000 + offset, value=value) for kind, offset, value in rows]
    return collect(iter([Batch.from_events([CARD, *events])]))


def shown(name: str, comparison: Comparison, **options: object) -> list[str]:
    return list(VIEWS.get(name)().render(comparison, Options(**options)))  # type: ignore[arg-type]


def example() -> Comparison:
    start = [(Kind.READ, 8 + 4 * i, i) for i in range(5)]
    end = [(Kind.WRITE, 0x100 + 4 * i, i) for i in range(9)]
    a = card(*start, (Kind.WRITE, 0x410, 0x602008), *end, (Kind.UNKNOWN, 0x40, None))
    b = card(*start, (Kind.WRITE, 0x410, 0x602408), *end, (Kind.READ, 0x44, 5))
    return compare(a, b, "old", "new")


def test_every_view_has_a_title_and_the_default_exists() -> None:
    assert VIEWS.names() == ["unified", "side-by-side", "registers", "state", "stat", "summary", "json", "html"]
    assert DEFAULT in VIEWS.names()
    assert all(row.title.endswith(".") and row.problem is None for row in VIEWS.listing())


def test_unified() -> None:
    assert shown("unified", example(), context=2) == [
        "--- old",
        "+++ new",
        "@@ -5,1 +5,1 @@ change, driver: value differs",
        " R 4 00:03.0/BAR0+0x14 0x3",
        " R 4 00:03.0/BAR0+0x18 0x4",
        "-W 4 00:03.0/BAR0+0x410 0x602008",
        "+W 4 00:03.0/BAR0+0x410 0x602008 -> 0x602408",
        " W 4 00:03.0/BAR0+0x100 0x0",
        " W 4 00:03.0/BAR0+0x104 0x1",
        "@@ -15,1 +15,0 @@ delete, driver: only in A",
        " W 4 00:03.0/BAR0+0x11c 0x7",
        " W 4 00:03.0/BAR0+0x120 0x8",
        "-U 4 00:03.0/BAR0+0x40 ?",
        "@@ -16,0 +15,1 @@ insert, driver: only in B",
        "+R 4 00:03.0/BAR0+0x44 0x5",
    ]


def test_context_is_shown_once_and_none_of_it_is_of_another_hunk() -> None:
    comparison = compare(writes("abcdefghij"), writes("abCdefGhij"))
    lines = [line for line in shown("unified", comparison) if line.startswith(" ")]
    assert len(lines) == len(set(lines)) == 8
    assert not [line for line in shown("unified", comparison, context=0) if line.startswith(" ")]


@given(edited_pairs())
def test_unified_lines_rebuild_both_sides(pair: tuple[list, list]) -> None:
    """With unlimited context every access of A is there, in order: the blank and the minus lines."""
    comparison = compare(recording(pair[0]), recording(pair[1]))
    lines = shown("unified", comparison, context=1000)[2:]
    if lines:
        a = [line[1:] for line in lines if line[0] in " -"]
        whole = [f"{x.op} 4 map1+{x.offset:#x} {'?' if x.value is None else hex(x.value)}" for x in span(comparison.a)]
        assert a == whole


def span(accesses: Accesses) -> list:
    return list(accesses.span(0, len(accesses)))


def test_colour_only_when_asked() -> None:
    assert not any("\x1b" in line for name in VIEWS.names() for line in shown(name, example()))
    coloured = shown("unified", example(), color=True)
    assert "\x1b[31m-U 4 00:03.0/BAR0+0x40 ?\x1b[0m" in coloured


def test_side_by_side_keeps_to_the_width() -> None:
    lines = shown("side-by-side", example(), width=79, context=1)
    assert lines[3] == "W 4 00:03.0/BAR0+0x410 0x602008        | W 4 00:03.0/BAR0+0x410 0x602408"
    assert any(line.startswith("U 4 00:03.0/BAR0+0x40 ?") and line.endswith(" <") for line in lines)
    assert any(line.startswith(" " * 38 + " > R 4 00:03.0/BAR0+0x44 0x5") for line in lines)
    narrow = shown("side-by-side", example(), width=31)
    assert max(map(len, narrow)) <= 31
    assert any("0x602008 | " in line and line.endswith("0x602408") for line in narrow)


def test_summary() -> None:
    lines = shown("summary", example())
    assert lines[:3] == ["A: old, 16 accesses", "B: new, 16 accesses", "same: 14"]
    assert "change: 1 hunk, 1 access" in lines
    assert "W 4 00:03.0/BAR0+0x410        -        -        1        -" in lines


def test_json() -> None:
    lines = [json.loads(line) for line in shown("json", example())]
    assert lines[0] == {
        "type": "header",
        "schema": "mmiotools.diff/1",
        "a": "old",
        "b": "new",
        "accesses_a": 16,
        "accesses_b": 16,
    }
    access = {
        "index": 5,
        "op": "W",
        "width": 4,
        "region": "00:03.0/BAR0",
        "offset": "0x410",
        "address": "0xfebc0410",
        "register": None,
    }
    assert lines[1] == {
        "type": "hunk",
        "kind": "change",
        "class": "driver",
        "reason": "value differs",
        "accesses": [
            {"side": "a", **access, "value": "0x602008"},
            {"side": "b", **access, "value": "0x602408"},
        ],
    }
    assert lines[2]["accesses"][0]["value"] is None
    assert lines[-1] == {"type": "summary", "hunks": {"driver": 3, "volatile": 0}, "same": 14}


@given(edited_pairs())
def test_json_alone_turns_a_into_b(pair: tuple[list, list]) -> None:
    comparison = compare(recording(pair[0]), recording(pair[1]))
    hunks = [json.loads(line) for line in shown("json", comparison)][1:-1]
    listed = list(chain.from_iterable(hunk["accesses"] for hunk in hunks))
    lost = {access["index"] for access in listed if access["side"] == "a"}
    gained = {access["index"]: access for access in listed if access["side"] == "b"}
    assert len(lost) + len(gained) == len(listed)
    a = [(x.op, x.width, x.offset, x.value) for x in span(comparison.a)]
    rest = iter([key for index, key in enumerate(a) if index not in lost])
    result = []
    for index in range(len(comparison.b)):
        if index in gained:
            new = gained[index]
            value = None if new["value"] is None else int(new["value"], 16)
            result.append((new["op"], new["width"], int(new["offset"], 16), value))
        else:
            result.append(next(rest))
    assert result == [(op, width, offset, value) for op, width, (_, offset), value in map(flat, keys(comparison.b))]


def flat(key: tuple) -> tuple:
    op, width, identity, offset, value = key
    return op, width, (identity, offset), value


def test_same_recordings_show_nothing() -> None:
    same = compare(writes("abc"), writes("abc"))
    assert shown("unified", same) == shown("side-by-side", same) == []
    assert len(shown("json", same)) == 2


def test_lines_are_made_as_they_are_asked_for() -> None:
    comparison = compare(writes("a" * 50_000), recording([]))
    lines = VIEWS.get("unified")().render(comparison, Options())
    assert len(list(islice(lines, 5))) == 5
