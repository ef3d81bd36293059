"""The machine's view: JSON Lines, a header, an object a hunk, a summary."""

from __future__ import annotations

import json

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.base import Options
from mmiotools.trace.accesses import access_json
from mmiotools.typed import Any, ClassVar, Iterator

SCHEMA = "mmiotools.diff/1"


class Json:
    """Schema `mmiotools.diff/1`; accesses that differ and nothing around them."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "JSON Lines for programs: header, hunks, summary."
    sets_aside: ClassVar[bool] = False

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        yield json.dumps(
            {
                "type": "header",
                "schema": SCHEMA,
                "a": comparison.name_a,
                "b": comparison.name_b,
                "accesses_a": len(comparison.a),
                "accesses_b": len(comparison.b),
            }
        )
        for hunk in comparison.hunks:
            yield json.dumps(
                {
                    "type": "hunk",
                    "kind": hunk.kind,
                    "class": hunk.category,
                    "reason": hunk.reason,
                    "accesses": list(_accesses(comparison, hunk, options)),
                }
            )
        yield json.dumps({"type": "summary", "hunks": comparison.hunks.counts(), "same": comparison.same})


def _accesses(comparison: Comparison, hunk: Hunk, options: Options) -> Iterator[dict[str, Any]]:
    """Of a change or a move a, b, a, b …; else the one side."""
    name = (lambda access: None) if options.naming is None else options.naming.register
    before = comparison.a.span(hunk.a.start, hunk.a.stop)
    after = comparison.b.span(hunk.b.start, hunk.b.stop)
    if hunk.a and hunk.b:
        for old, new in zip(before, after, strict=True):
            yield access_json(old, "a", name(old))
            yield access_json(new, "b", name(new))
        return
    for access in before:
        yield access_json(access, "a", name(access))
    for access in after:
        yield access_json(access, "b", name(access))
