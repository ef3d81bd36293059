"""Comparisons of integer columns with integers of any size: exact, without floats and without wrap-around."""

from __future__ import annotations

import numpy as np

from mmiotools.filters.expr import OPERATORS, Span
from mmiotools.trace.batch import Array, BoolArray
from mmiotools.typed import Iterable, NDArray

#: From this many single numbers on, a set is looked up instead of compared one by one.
_MANY = 8


def compare(data: Array, op: str, number: int) -> BoolArray:
    """`data OP number` for an integer column (n,) and any Python integer."""
    info = np.iinfo(data.dtype)
    if info.min <= number <= info.max:
        return np.asarray(OPERATORS[op](data, data.dtype.type(number)), np.bool_)
    # Every number of the column lies on one side of it.
    return np.full(len(data), OPERATORS[op](0, 1 if number > 0 else -1), np.bool_)


def masked(data: Array, mask: int) -> NDArray[np.uint64]:
    """`data & mask` (n,) for a mask that is not negative; negative numbers are two's complement of 64 bits."""
    signed = np.issubdtype(data.dtype, np.signedinteger)
    bits = data.astype(np.int64).view(np.uint64) if signed else data.astype(np.uint64)
    return np.asarray(bits & np.uint64(mask & (1 << 64) - 1), np.uint64)


def within(data: Array, spans: Iterable[Span]) -> BoolArray:
    """Which numbers of the column (n,) lie in one of the spans."""
    found = np.zeros(len(data), np.bool_)
    singles = []
    info = np.iinfo(data.dtype)
    for span in spans:
        if span.high == span.low:
            if info.min <= span.low <= info.max:
                singles.append(span.low)
            continue
        inside = compare(data, ">=", span.low)
        if span.high is not None:
            inside &= compare(data, "<=", span.high)
        found |= inside
    if len(singles) >= _MANY:
        found |= np.isin(data, np.array(singles, data.dtype))
    else:
        for number in singles:
            found |= compare(data, "==", number)
    return found


def contains(number: int, spans: Iterable[Span]) -> bool:
    """Whether one number of any size lies in one of the spans."""
    return any(span.low <= number and (span.high is None or number <= span.high) for span in spans)
