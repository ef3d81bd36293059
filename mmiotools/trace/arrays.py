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


def among(numbers: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of them are in an ascending sequence, (n,): np.isin without sorting them."""
    if not len(ordered):
        return np.zeros(len(numbers), np.bool_)
    at = np.searchsorted(ordered, numbers)
    at[at == len(ordered)] = 0
    return np.asarray(ordered[at] == numbers, np.bool_)
