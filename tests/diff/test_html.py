"""The html view: a page that is well-formed, holds what the comparison holds, and lets no text out of its place.

The last tests open it in Chromium, where there is one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from diff_helpers import recording, with_volatile, writes

from mmiotools.diff.hunks import Comparison, compare
from mmiotools.diff.views import VIEWS
from mmiotools.diff.views import html as view
from mmiotools.diff.views.base import Options
from mmiotools.events import Event, Kind
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import collect

VOID = {"meta", "link", "input", "br"}
EVIL = "</script><script>document.title='caught'</script><img src=x onerror=alert(1)>&\"'\x1b[31m\u202e"


class Page(HTMLParser):
    """What stands where; fails where an end tag does not fit."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def data(self) -> Any:
        return json.loads(self.texts["script"][0])


def page_of(comparison: Comparison, **options: Any) -> str:
    return "\n".join(VIEWS.get("html")().render(comparison, Options(**options))) + "\n"


def example() -> Comparison:
    return compare(writes("abcdefghijkl"), writes("abCdfghiJklz"), "old", "new")


def named(region: str, value: int) -> Any:
    events = [Event(Kind.WRITE, width=4, region=region, offset=8, value=value)]
    return collect(iter([Batch.from_events(events)]))


def test_the_page_holds_the_comparison() -> None:
    page = Page(page_of(with_volatile(example(), lambda hunk: hunk.a.start == 9), context=1))
    data = page.data
    assert data["total"] == len(data["hunks"]) == 4 and data["note"] == ""
    assert [(hunk["number"], hunk["kind"], hunk["class"]) for hunk in data["hunks"]] == [
        (1, "change", "driver"),
        (2, "delete", "driver"),
        (3, "change", "volatile"),
        (4, "insert", "driver"),
    ]
    assert data["hunks"][0]["place"] == "-2,1 +2,1"
    rows = [[row[0], data["registers"][row[1]], *row[2:]] for row in data["hunks"][0]["rows"]]
    assert rows == [
        ["same", "W 4 map1+0x2", 1, "0x0", None, "0x0"],
        ["change", "W 4 map1+0x3", 2, "0x0", 2, "0x1"],
        ["same", "W 4 map1+0x4", 3, "0x0", None, "0x0"],
    ]
    assert data["hunks"][3]["rows"][-1][2:] == [None, None, 11, "0x0"]
    assert page.texts["title"] == ["old / new - mmiotools diff"]
    assert page.texts["td"].count("W 4 map1+0x3") == 1, "the table of registers needs no script"


def test_the_page_needs_nothing_else() -> None:
    text = page_of(example())
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n") and "@" not in text.split("<style>")[0]
    for name, attributes in page.tags:
        assert not attributes.keys() & {"src", "onclick", "onload"}, name
        assert attributes.get("href", "data:,") == "data:,"
    assert "http://" not in text and "https://" not in text and "@import" not in text
    policy = next(a["content"] for name, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_hostile_names_stay_text() -> None:
    plain = Page(page_of(compare(named("regs", 1), named("regs", 2), "old", "new")))
    text = page_of(compare(named(EVIL, 1), named(EVIL, 2), EVIL, EVIL))
    page = Page(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.data["registers"][0].startswith("W 4 </script><script>")
    assert any("<img src=x" in cell for cell in page.texts["td"])
    assert "\x1b" not in text and "\u202e" not in text


def test_a_page_of_two_equal_traces() -> None:
    page = Page(page_of(compare(writes("abc"), writes("abc"))))
    assert page.data == {"total": 0, "hunks": [], "registers": [], "note": ""}


def test_what_the_page_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "LIMITS", {"driver": (2, 7, 5), "volatile": (0, 0, 0)})
    monkeypatch.setattr(view, "REGISTERS", 2)
    a = recording([("W", 0, 0), ("R", 4, 0), ("W", 8, 0)])
    b = recording(
        [("W", 0, 0), *(("W", 16 + at, 1) for at in range(9)), ("R", 4, 0)] + [("W", 32, 1)] * 6 + [("W", 8, 1)]
    )
    comparison = compare(a, b)
    page = Page(page_of(comparison))
    kept = page.data["hunks"]
    assert page.data["total"] == len(comparison.hunks) > 2 == len(kept)
    assert [(len(hunk["rows"]), hunk["left"]) for hunk in kept] == [(5, 4), (2, 4)]
    assert len(kept[0]["registers"]) == 9, "the filter finds registers of rows that are left out"
    assert page.data["note"].startswith(f"{len(comparison.hunks) - 2} driver hunks are not in this page")
    assert any(text.startswith("The 2 with most differences, of 1") for text in page.texts["p"])


def test_numbers_of_ten_thousand_hunks() -> None:
    a = recording(("W", 4 * (at % 50), at) for at in range(20_000))
    b = recording(("W", 4 * (at % 50), at ^ (at % 2 << 20)) for at in range(20_000))
    text = page_of(compare(a, b))
    assert len(Page(text).data["hunks"]) == 10_000
    assert len(text) < 6_000_000


# -- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium brings it")
    return found


def opened(chromium: str, folder: Path, page: str, fragment: str) -> Page:
    """The page as a browser leaves it once its script has run."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    words += ["--virtual-time-budget=5000", "--dump-dom", f"{path.as_uri()}#{fragment}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Page(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fragment", "headings", "count"),
    [
        ("", ["1. change, driver: ", "2. delete, driver: ", "4. insert, driver: "], "3 of 4 hunks"),
        ("class=volatile", ["3. change, volatile: "], "1 of 4 hunks"),
        ("kind=insert,delete", ["2. delete, driver: ", "4. insert, driver: "], "2 of 4 hunks"),
        ("class=driver,volatile&register=MAP1%2B0xa", ["3. change, volatile: "], "1 of 4 hunks"),
        ("register=nonesuch", [], "0 of 4 hunks"),
    ],
)
def test_a_browser_filters(chromium: str, tmp_path: Path, fragment: str, headings: list[str], count: str) -> None:
    page = opened(chromium, tmp_path, page_of(with_volatile(example(), lambda hunk: hunk.a.start == 9)), fragment)
    assert page.texts["output"] == [count]
    found = page.texts.get("h3", [])
    assert [text.startswith(heading) for text, heading in zip(found, headings, strict=True)] == [True] * len(headings)
    assert page.count("button") == 4


@pytest.mark.slow
def test_a_browser_runs_nothing_of_a_trace(chromium: str, tmp_path: Path) -> None:
    page = opened(chromium, tmp_path, page_of(compare(named(EVIL, 1), named(EVIL, 2), EVIL, EVIL)), "")
    assert page.count("img") == 0 and page.count("script") == 2
    assert page.texts["title"] != ["caught"] and page.texts["output"] == ["1 of 1 hunks"]
    assert page.texts["b"] == ["1", "2"], "the digits that differ"
