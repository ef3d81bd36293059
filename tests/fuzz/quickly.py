"""The quick ways from a native file, and from a small text, to text: they give what the batches give, or say that they
cannot.
"""

from __future__ import annotations

import io
import os
from random import Random

from mmiotools.cli.common import Run
from mmiotools.cli.filter_batches import select_batches
from mmiotools.cli.filtering import Asked, Request
from mmiotools.errors import MmioToolsError
from mmiotools.filters.expr import Expr
from mmiotools.filters.window import Window
from mmiotools.formats.mmiotrace_render import DAMAGED
from mmiotools.formats.native_stored import Unfit
from mmiotools.quick.lines import select_lines
from mmiotools.quick.select import Question, open_selection


def other_lines(path: str, data: bytes, node: Expr, time: int, rng: Random) -> str | None:
    """How the quick way through mmiotrace text differs, None where it does not, or cannot do it."""
    first, last = rng.choice([(None, None), (None, None), (time, None), (None, time), (time, time + 10**6)])
    bare, known = rng.random() < 0.3, rng.random() < 0.7
    window = Window(None, None, first, last)
    found = select_lines(data, node, window, bare, known=known)
    if found is None:
        return None
    out, run = io.BytesIO(), Run(True)
    given = "mmiotrace" if known else None
    request = Request("", path, bare=bare, from_format=given, to_format="mmiotrace", strict=True, quiet=True)
    try:
        selected = select_batches(Asked(request, run, node, None, window), out)
    except MmioToolsError as error:
        return f"{node}: only the other way fails, {error}"
    if found != (out.getvalue(), selected) or run.status:
        return f"{node} {first}-{last} bare {bare} known {known}: other lines, another number or damage"
    return None


def differs(path: str, node: Expr, time: int, rng: Random, honest: bool) -> str | None:
    """How the quick way differs, None where it does not, or cannot do it. A file that is not `honest` may say one thing
    in its index and another in its blocks, so that there only exceptions are looked for.
    """
    first, last = rng.choice([(None, None), (None, None), (time, None), (None, time), (time, time + 10**6)])
    bare = rng.random() < 0.3
    with open(path, "rb") as file:
        selection = open_selection(
            file.fileno(), os.fstat(file.fileno()).st_size, Question(node, first, last, bare, False)
        )
        if selection is None:
            return None
        try:
            parts = [part._replace(text=bytes(part.text)) for part in selection.parts()]
        except Unfit:
            return None
    if not honest:
        return None
    out, run = io.BytesIO(), Run(True)
    request = Request("", path, bare=bare, to_format="mmiotrace", quiet=True)
    try:
        selected = select_batches(Asked(request, run, node, None, Window(None, None, first, last)), out)
    except MmioToolsError as error:
        return f"{node}: only the other way fails, {error}"
    # The other way may look at a block more, and find that damaged.
    lines = [line for line in out.getvalue().split(b"\n") if not line.startswith(DAMAGED)]
    if b"".join(part.text for part in parts).split(b"\n") != lines:
        return f"{node} {first}-{last} bare {bare}: other lines"
    if sum(part.selected for part in parts) != selected and not run.status:
        return f"{node} {first}-{last} bare {bare}: another number"
    return None
