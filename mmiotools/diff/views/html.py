"""The html view: one page that needs nothing else, neither a network nor, for its tables, JavaScript.

The page is a template with a style and a script, in the folder `diff/page`. The hunks lie in it as JSON.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files

import numpy as np

from mmiotools.diff.hunks import DRIVER, KINDS, VOLATILE, Comparison, volatile_hunks
from mmiotools.diff.tally import Tally, tally
from mmiotools.diff.views.around import Placed, placed
from mmiotools.diff.views.base import Options, place_text, printable, value_text
from mmiotools.trace.accesses import Access, Accesses
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.typed import Any, ClassVar, Iterator

#: What a page holds of each class, so that a browser stays quick: hunks, accesses in them, accesses of one hunk.
LIMITS = {DRIVER: (20_000, 200_000, 500), VOLATILE: (10_000, 50_000, 50)}
#: Registers in the table of the page.
REGISTERS = 2000


class Html:
    """A page with the counts, a table of the registers, and the hunks of both classes with a filter."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "A self-contained page for a browser, with a filter by class, kind and register."
    sets_aside: ClassVar[bool] = False

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        plain = options._replace(color=False, show_volatile=True)
        counted = tally(comparison)
        parts = {
            "TITLE": lambda: iter([f"{_text(comparison.name_a)} / {_text(comparison.name_b)} - mmiotools diff"]),
            "STYLE": lambda: iter(_asset("page.css").splitlines()),
            "SUMMARY": lambda: _summary(comparison),
            "REGISTERS": lambda: _registers(comparison, counted, plain),
            "DATA": lambda: _data(comparison, counted, plain),
            "SCRIPT": lambda: iter(_asset("page.js").splitlines()),
        }
        for line in _asset("page.html").splitlines():
            before, _, rest = line.partition("@")
            name, _, after = rest.partition("@")
            if name in parts:
                made = list(parts[name]()) if before else parts[name]()
                yield from (f"{before}{text}{after}" for text in made)
            else:
                yield line


def _asset(name: str) -> str:
    return files("mmiotools.diff").joinpath("page", name).read_text(encoding="utf-8")


def _text(name: str) -> str:
    return escape(printable(name))


def _number(number: int) -> str:
    return f'<td class="number">{number or "-"}</td>'


def _summary(comparison: Comparison) -> Iterator[str]:
    yield "<dl>"
    for side, name, accesses in (
        ("A", comparison.name_a, len(comparison.a)),
        ("B", comparison.name_b, len(comparison.b)),
    ):
        yield f"<dt>{side}</dt><dd>{_text(name)}, {accesses:,} accesses</dd>"
    yield f"<dt>same</dt><dd>{comparison.same:,}</dd>"
    yield "</dl>"
    volatile = volatile_hunks(comparison.hunks)
    heads = "".join(f'<th scope="col" class="number">{kind}</th>' for kind in KINDS)
    yield f'<table class="counts"><tr><th scope="col">hunks</th>{heads}</tr>'
    for category, mine in ((DRIVER, ~volatile), (VOLATILE, volatile)):
        numbers = np.bincount(comparison.hunks.kind[mine], minlength=len(KINDS)).tolist()
        yield f'<tr><th scope="row">{category}</th>{"".join(map(_number, numbers))}</tr>'
    yield "</table>"


def _registers(comparison: Comparison, counted: Tally, options: Options) -> Iterator[str]:
    driver, volatile = counted.driver, counted.volatile
    total = driver.sum(axis=0)
    rows = flatnonzero(total + volatile)
    rows = rows[np.lexsort((rows, -volatile[rows], -total[rows]))]
    yield "<h2>Registers that differ</h2>"
    if len(rows) > REGISTERS:
        yield f'<p class="note">The {REGISTERS:,} with most differences, of {len(rows):,}.</p>'
        rows = rows[:REGISTERS]
    heads = "".join(f'<th scope="col" class="number">{kind}</th>' for kind in (*KINDS, VOLATILE))
    yield f'<div class="scroll"><table class="registers"><tr><th scope="col">register</th>{heads}</tr>'
    for access, at in zip(counted.registers.examples(comparison.a, comparison.b, rows), rows.tolist(), strict=True):
        numbers = [*driver[:, at].tolist(), int(volatile[at])]
        yield f"<tr><td>{escape(place_text(access, options))}</td>{''.join(map(_number, numbers))}</tr>"
    yield "</table></div>"


def _data(comparison: Comparison, counted: Tally, options: Options) -> Iterator[str]:
    """The JSON that the script reads, a hunk a line, then the names of the registers that they mention."""
    page = _Page(comparison, counted)
    yield f'{{"total":{len(comparison.hunks)},"hunks":['
    comma = ""
    for number, place in enumerate(placed(comparison, options), 1):
        held = page.hunk(number, place)
        if held is not None:
            yield comma + _json(held)
            comma = ","
    mentioned = np.fromiter(page.registers, np.int64, len(page.registers))
    examples = counted.registers.examples(comparison.a, comparison.b, mentioned)
    yield f'],"registers":{_json([place_text(access, options) for access in examples])},"note":{_json(page.note())}}}'


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


class _Page:
    """What goes into the page, within `LIMITS`. `registers`: groups of the tally that are mentioned, in that order."""

    def __init__(self, comparison: Comparison, counted: Tally) -> None:
        self.registers: dict[int, int] = {}
        self._comparison = comparison
        self._groups = counted.registers
        self._hunks = {category: limits[0] for category, limits in LIMITS.items()}
        self._rows = {category: limits[1] for category, limits in LIMITS.items()}
        self._left_out = {category: 0 for category in LIMITS}

    def hunk(self, number: int, place: Placed) -> dict[str, Any] | None:
        """A hunk as the script wants it, None when the page is full."""
        hunk, category = place.hunk, place.hunk.category
        if not self._hunks[category]:
            self._left_out[category] += 1
            return None
        self._hunks[category] -= 1
        size = max(len(hunk.a), len(hunk.b))
        kept = min(size, self._rows[category], LIMITS[category][2])
        self._rows[category] -= kept
        a, b = self._comparison.a, self._comparison.b
        found: dict[str, Any] = {
            "number": number,
            "kind": hunk.kind,
            "class": category,
            "reason": hunk.reason,
            "place": f"-{a.numbered(hunk.a.start)},{len(hunk.a)} +{b.numbered(hunk.b.start)},{len(hunk.b)}",
            "rows": [],
        }
        if kept == size:
            found["rows"] = [*self._same(place.before), *self._differing(place, kept), *self._same(place.after)]
        else:
            found["rows"] = list(self._differing(place, kept))
            found["left"] = size - kept
            rows, codes = (hunk.a, self._groups.a) if hunk.a else (hunk.b, self._groups.b)
            groups = distinct(codes[rows.start : rows.stop])
            found["registers"] = [self._register(group) for group in groups.tolist()]
        return found

    def note(self) -> str:
        """What the page has not, in words; empty when it has everything."""
        left = " and ".join(f"{number:,} {category}" for category, number in self._left_out.items() if number)
        return f"{left} hunks are not in this page; the counts and the table of registers include them." if left else ""

    def _register(self, group: int) -> int:
        return self.registers.setdefault(group, len(self.registers))

    def _same(self, rows: range) -> Iterator[list[Any]]:
        for at, access in zip(rows, self._comparison.a.span(rows.start, rows.stop), strict=True):
            value = value_text(access)
            yield ["same", self._register(int(self._groups.a[at])), access.index, value, None, value]

    def _differing(self, place: Placed, kept: int) -> Iterator[list[Any]]:
        hunk = place.hunk
        before = _cells(self._comparison.a, hunk.a, kept)
        after = _cells(self._comparison.b, hunk.b, kept)
        side, codes = (hunk.a, self._groups.a) if hunk.a else (hunk.b, self._groups.b)
        groups = codes[side.start : side.start + kept].tolist()
        for group, old, new in zip(groups, before, after, strict=True):
            yield [hunk.kind, self._register(group), *old, *new]


def _cells(side: Accesses, rows: range, kept: int) -> list[tuple[int | None, str | None]]:
    """Number and value of the first accesses of a hunk on one side; Nones where it has none there."""
    if not rows:
        return [(None, None)] * kept
    return [_cell(access) for access in side.span(rows.start, rows.start + kept)]


def _cell(access: Access) -> tuple[int, str]:
    return access.index, value_text(access)
