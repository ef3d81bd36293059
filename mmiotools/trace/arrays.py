"""What numpy has as well, without what that costs besides: most of all, parts of numpy that nothing else needs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mmiotools.typed import Any, NDArray, TypeVar

_Scalar = TypeVar("_Scalar", bound=np.generic)
_Number = TypeVar("_Number", bound="np.integer[Any]")


def flatnonzero(mask: NDArray[Any]) -> NDArray[np.intp]:
    """Where a mask (n,) is true, ascending. numpy's asks whether it is a matrix."""
    return mask.nonzero()[0]


def stretches(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """[start, stop) of every run of True, (k, 2)."""
    inside = np.zeros(len(mask) + 2, np.bool_)
    inside[1:-1] = mask
    return flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)


def append(numbers: NDArray[_Scalar], last: Any) -> NDArray[_Scalar]:
    """The numbers and one more, (n + 1,), which is made what they are. numpy's asks whether they are a matrix."""
    return np.concatenate((numbers, np.array([last], numbers.dtype)))


def split(numbers: NDArray[_Scalar], at: NDArray[np.integer[Any]]) -> list[NDArray[_Scalar]]:
    """The parts that end at these places, which ascend, and what is behind the last."""
    ends = [0, *at.tolist(), len(numbers)]
    return [numbers[start:stop] for start, stop in pairwise(ends)]


def distinct(numbers: NDArray[_Number]) -> NDArray[_Number]:
    """The distinct ones, (n,), ascending. numpy's `unique` asks whether they are masked."""
    ordered = np.sort(numbers)
    keep = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def in_order(numbers: NDArray[_Number]) -> tuple[NDArray[np.intp], NDArray[_Number], NDArray[np.bool_]]:
    """The order in which numbers ascend, alike ones as they stand; they in this order; and where there is another one
    than before, (n,) each.
    """
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    fresh = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return order, ordered, fresh


def run_starts(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Where a row of some columns (n,) is not as the one before it; the first one, too."""
    fresh = np.ones(len(columns[0]), np.bool_)
    fresh[1:] = False
    for data in columns:
        fresh[1:] |= data[1:] != data[:-1]
    return flatnonzero(fresh)


def added_up(
    keys: NDArray[_Number], numbers: NDArray[np.int64]
) -> tuple[NDArray[_Number], NDArray[np.int64]]:
    """The distinct keys, ascending, and the sum of the numbers (n,) that each has."""
    order, ordered, fresh = in_order(keys)
    starts = flatnonzero(fresh)
    return ordered[starts], np.add.reduceat(numbers[order], starts) if len(starts) else numbers[:0]


def first_of_each(numbers: NDArray[_Number]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct number is for the first time, these ascending; and which of them each number is, (n,)."""
    order, _, fresh = in_order(numbers)
    which = np.empty(len(order), np.intp)
    which[order] = np.cumsum(fresh) - 1
    return order[fresh], which


def steps(numbers: NDArray[_Number]) -> NDArray[_Number]:
    """From each number to the next one, (n - 1,)."""
    return numbers[1:] - numbers[:-1]


def without(numbers: NDArray[_Scalar], places: NDArray[np.integer[Any]]) -> NDArray[_Scalar]:
    """The numbers but for those at some places."""
    keep = np.ones(len(numbers), np.bool_)
    keep[places] = False
    return numbers[keep]


def repeated(number: Any, dtype: Any, count: int) -> NDArray[Any]:
    """One number so many times, in the memory of one, which cannot be written to: np.broadcast_to."""
    found = np.ndarray(count, dtype, np.array([number], dtype), strides=(0,))
    found.flags.writeable = False
    return found


def among(numbers: NDArray[_Number], ordered: NDArray[_Number]) -> NDArray[np.bool_]:
    """Which of them are in an ascending sequence, (n,): np.isin without sorting them."""
    if not len(ordered):
        return np.zeros(len(numbers), np.bool_)
    at = np.searchsorted(ordered, numbers)
    at[at == len(ordered)] = 0
    return np.asarray(ordered[at] == numbers, np.bool_)
