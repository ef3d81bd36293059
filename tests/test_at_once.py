"""Two things at once."""

from __future__ import annotations

import threading

import pytest

from mmiotools.trace.at_once import at_once


def test_both_are_under_way_at_once() -> None:
    meet = threading.Barrier(2, timeout=30)
    assert at_once(lambda: (meet.wait(), 1)[1], lambda: (meet.wait(), 2)[1]) == (1, 2)


def test_what_either_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        at_once(lambda: 1 // 0, lambda: [][1])
    with pytest.raises(IndexError):
        at_once(lambda: 1, lambda: [][1])


def test_the_second_may_go_on_when_the_first_has_failed() -> None:
    go_on, gone_on = threading.Event(), threading.Event()
    with pytest.raises(ZeroDivisionError):
        at_once(lambda: 1 // 0, lambda: (go_on.wait(30), gone_on.set()))
    go_on.set()
    assert gone_on.wait(30)


def test_without_threads_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    assert at_once(lambda: 1, lambda: 2) == (1, 2)
