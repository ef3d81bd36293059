"""Which differences are the driver's and which would be there without a change of it."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.hunks import Comparison, ReasonTable, Verdict, assemble
from mmiotools.diff.pairing import Side, pair_runs
from mmiotools.diff.rules import RULES, Open, Rule
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.at_once import at_once
from mmiotools.typed import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    # Only a comparison with repeats or masks pays for what learns.
    from mmiotools.diff.learn import Noise


def compare_noisy(
    group_a: Sequence[Accesses],
    group_b: Sequence[Accesses],
    noise: Noise | None = None,
    rules: Sequence[Rule] = RULES,
    name_a: str = "a",
    name_b: str = "b",
) -> Comparison:
    """Compare the first of each group, and set aside what `noise` explains, as class VOLATILE with a reason.

    Whatever is not explained is of class DRIVER. An explained access that, all through the recordings of one version,
    belongs to the one beside it, and does not in the other version, is no noise: see `Habits`.
    """
    a, b = group_a[0], group_b[0]
    table = ReasonTable()
    if noise:
        from mmiotools.diff.aside import set_aside

        pairs, why_a, why_b = set_aside(group_a, group_b, noise, table)
        found = pairs.pairing()
    else:
        keys_a, keys_b = at_once(a.keys, b.keys)
        found = pair_runs(Side(a, keys_a), Side(b, keys_b))
        why_a, why_b = np.zeros(len(a), np.int32), np.zeros(len(b), np.int32)
    for mask in noise.masks if noise else ():
        if mask.ignore:
            for side, why in ((a, why_a), (b, why_b)):
                why[mask.rows(side) & (why == 0)] = table.number(mask.why())
    still = Open.of(a, b, found).without(why_a, why_b)
    for rule in rules if still else ():
        rows = rule.apply(still)
        why_a[rows[0]], why_b[rows[1]] = table.number(rule.why), table.number(rule.why)
        still = still.without(why_a, why_b)
    return assemble(a, b, found, Verdict(why_a, why_b, table.texts()), name_a, name_b)
