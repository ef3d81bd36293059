"""Two recordings compared without regard to order: how much oftener which access was done."""

from __future__ import annotations

from mmiotools.diff.grouping import VALUE, counts, group
from mmiotools.diff.views.base import Options, access_text, paint
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Iterator

#: Accesses that are put into words at a time.
_CHUNK = 4096


def count_lines(a: Accesses, b: Accesses, options: Options) -> Iterator[str]:
    """`+3 R 4 00:03.0/BAR0+0x8 0x1`: b has three more of this access than a; `-3`: three fewer. By register, value."""
    groups = group(a, b, VALUE)
    more = counts(groups.b, len(groups)) - counts(groups.a, len(groups))
    differing = flatnonzero(more)
    for start in range(0, len(differing), _CHUNK):
        part = differing[start : start + _CHUNK]
        for access, number in zip(groups.examples(a, b, part), more[part].tolist(), strict=True):
            yield paint(f"{number:+} {access_text(access, options)}", "insert" if number > 0 else "delete", options)
