"""Blocks that come and go."""

from __future__ import annotations

from mmiotools.diff.floating import Blocks, loop_around, slides


def never(_: tuple[int, ...]) -> bool:
    return False


def nowhere(_start: int, _stop: int) -> bool:
    return False


def explain(blocks: Blocks, keys: list[int], start: int, stop: int, near: bool = False) -> str:
    return blocks.explain(keys, start, stop, near, never, nowhere)


def test_a_run_that_repeats_itself_can_begin_elsewhere() -> None:
    assert set(slides([9, 1, 2, 1, 2, 8], 1, 3)) == {(1, 3), (2, 4), (3, 5)}
    assert slides([1, 2, 3], 0, 1) == [(0, 1)]


def test_a_loop_is_found_around_its_rounds() -> None:
    assert loop_around([7, 1, 2, 1, 2, 1, 2], 3, 5) == (7, (1, 2))
    assert loop_around([1, 1, 1], 0, 1) == (-1, (1,))
    assert loop_around([7, 1, 2, 3], 1, 3) is None, "one round alone is no loop"


def test_blocks_that_were_seen_explain_runs_made_of_them() -> None:
    blocks = Blocks()
    blocks.add([5, 1, 2, 3, 6], 1, 4)
    keys = [9, 1, 2, 3, 1, 2, 3, 8]
    assert explain(blocks, keys, 1, 4) and explain(blocks, keys, 1, 7)
    assert not explain(blocks, keys, 1, 3), "a part of a block is no block"
    assert not explain(blocks, keys, 0, 4)
    assert not explain(Blocks(), keys, 1, 4)


def test_a_block_is_the_same_wherever_it_is_taken_to_begin() -> None:
    blocks = Blocks()
    blocks.add([0, 1, 2, 3, 1, 2, 3, 4], 1, 4)
    assert explain(blocks, [7, 2, 3, 1, 7], 1, 4), "turned round, as it may have been before"


def test_short_blocks_stand_only_where_something_varied() -> None:
    blocks = Blocks()
    blocks.add([5, 1, 6], 1, 2)
    assert explain(blocks, [7, 1, 8], 1, 2, near=True)
    assert not explain(blocks, [7, 1, 8], 1, 2, near=False)


def test_the_length_of_a_loop_varies_behind_the_same_access_only() -> None:
    blocks = Blocks()
    blocks.add([4, 1, 1, 1, 1, 6], 1, 3)
    assert explain(blocks, [4, 1, 1, 1, 1, 1, 1, 8], 1, 5)
    assert not explain(blocks, [3, 1, 1, 1, 1, 1, 1, 8], 1, 5)


def test_repeated_work_between_blocks() -> None:
    blocks = Blocks()
    blocks.add([0, 1, 2, 3, 0], 1, 4)
    keys = [0, 1, 2, 3, 11, 12, 13, 14, 15, 1, 2, 3, 0]

    def whole(near: bool, repeated: bool) -> str:
        return blocks.explain(keys, 1, 12, near, lambda _: repeated, nowhere)

    assert whole(near=True, repeated=True)
    assert not whole(near=False, repeated=True)
    assert not whole(near=True, repeated=False)
    assert not blocks.explain(keys, 4, 9, True, lambda _: True, nowhere), "no block is in it"
