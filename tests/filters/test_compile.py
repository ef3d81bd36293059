"""Masks over batches say what the language means, for every field and operator, at every size of number."""

import pytest
from filter_expressions import DEVICE, Naive, events, expressions
from hypothesis import given, settings

from mmiotools.events import Event, Kind
from mmiotools.filters.compile import Predicate
from mmiotools.filters.grammar import parse
from mmiotools.trace.batch import Batch

CONTEXT = [
    Event(Kind.DEVICE, extra=DEVICE),
    Event(Kind.MAP, 1, map=1, addr=0x10200, extra={"length": 0x20}),
]
READ = Event(Kind.READ, 4_070_000_000, 4, 7, 0x10108, value=0x80000001, pc=2**64 - 1, pid=-1, cpu=2)
WIDE = Event(Kind.WRITE, width=16, value=1 << 100 | 6)
BARE = Event(Kind.UNKNOWN)
MAPPED = Event(Kind.READ, map=1, addr=0x10204)
NAMED = Event(Kind.WRITE, region="chip/BAR2", offset=3)
MARK = Event(Kind.MARK, 5, extra={"text": b"load e1000 \xff"})


@pytest.mark.parametrize(
    ("event", "true", "false"),
    [
        (READ, "op == read", "op != R"),
        (READ, "op in {write, read}", "op in {write, unknown}"),
        (READ, "kind == READ", "kind != read"),
        (READ, "access", "write"),
        (READ, "width == 4", "width != 4"),
        (READ, "width < 300", "width > 300"),
        (READ, "width in {1-2, 4}", "width in 5-0xffffffffffffffffff"),
        (READ, "addr == 0x10108", "addr == 0x10109"),
        (READ, "addr in 0x10100-0x10108", "addr in 0x10100+8"),
        (READ, "addr == BAR0+8", "addr == BAR0+9"),
        (READ, "addr == 00:03.0/BAR0+8", "addr == 00:04.0/BAR0+8"),
        (READ, "addr in BAR0+8+1", "addr in BAR0+0+8"),
        (READ, "addr in {BAR1, BAR0}", "addr in BAR1"),
        (READ, "addr != BAR0+9", "addr != BAR0+8"),
        (READ, "addr >= BAR0+8", "addr > BAR0+8"),
        (READ, "addr < 0x10000000000000005", "addr > 0x10000000000000005"),
        (READ, "offset == 8", "offset == 0x10108"),
        (READ, "region == BAR0", "region != BAR0"),
        (READ, "region == 00:03.0/BAR0", "region == map7"),
        (READ, "region ~ '^00.*0$'", "region !~ 'BAR'"),
        (READ, "bar == 0", "bar == 1"),
        (READ, "bar in 0-2", "bar in {1, ROM}"),
        (READ, "map == 7", "map == -1"),
        (READ, "value == 0x80000001", "value < 0x80000001"),
        (READ, "value >= -1", "value <= -1"),
        (READ, "value & 0x80000000 != 0", "value & 0x7ffffffe != 0"),
        (READ, "time == 4.07", "time < 4070ms"),
        (READ, "time in 4.07-4.08", "time in 4+70ms"),
        (READ, "pc == 0xffffffffffffffff", "pc > 0xffffffffffffffff"),
        (READ, "pid == -1", "pid > -1"),
        (READ, "pid & 0xffffffffffffffff == 0xffffffffffffffff", "pid & 1 == 0"),
        (READ, "cpu == 2", "cpu > 0x80000000"),
        (READ, "not mark ~ 'x'", "mark !~ 'x'"),
        (WIDE, "value == 0x10000000000000000000000006", "value == 6"),
        (WIDE, "value > 0xffffffffffffffff", "value < 0xffffffffffffffff"),
        (WIDE, "value & 0x10000000000000000000000002 == 0x10000000000000000000000002", "value & 1 != 0"),
        (WIDE, "value in 1-0x20000000000000000000000000", "value in 0-0xffffffffffffffff"),
        (BARE, "not value == 0", "value == 0"),
        (BARE, "not value != 0", "value != 0"),
        (BARE, "not addr in 0-0xffffffffffffffff", "addr in 0-0xffffffffffffffff"),
        (BARE, "not offset >= 0", "offset >= 0"),
        (BARE, "unknown", "region !~ 'x'"),
        (MAPPED, "region == map1 and offset == 4", "bar >= 0"),
        (NAMED, "bar == 2 and offset == 3", "addr >= 0"),
        (NAMED, "addr == chip_+1 or region == 'chip/BAR2'", "region == chip"),
        (NAMED, "addr == BAR2+3", "addr == BAR2+4"),
        (MARK, "mark", "map"),
        (MARK, "mark ~ 'e1000 \\xff$'", "mark ~ '^e1000'"),
        (MARK, "mark == 'load e1000 \\xff'", "mark != 'load e1000 \\xff'"),
        (MARK, "mark in {a, 'load e1000 \\xff'}", "mark in {a, b}"),
        (MARK, "kind == mark", "op != read"),
    ],
)
def test_true_and_false(event, true, false):
    for text, expected in ((true, True), (false, False)):
        mask = Predicate(text).mask(Batch.from_events([*CONTEXT, event]))
        assert mask.dtype == bool
        assert mask[-1] == expected, text


@given(events, expressions())
@settings(max_examples=400)
def test_vectors_agree_with_one_event_at_a_time(stream, tree):
    naive = Naive()
    expected = [naive.holds(tree, event) for event in stream]
    for size in (len(stream) or 1, 7):
        predicate = Predicate(tree)
        got = []
        for start in range(0, len(stream), size):
            got += predicate.mask(Batch.from_events(stream[start : start + size])).tolist()
        assert got == expected
    assert Predicate(parse(str(tree))).expr == tree


def test_the_map_is_followed_from_batch_to_batch():
    predicate = Predicate("region == map1")
    access = Event(Kind.READ, map=1, addr=0x10204)
    assert predicate.mask(Batch.from_events(CONTEXT)).tolist() == [False, True]
    assert predicate.mask(Batch.from_events([access])).tolist() == [True]
    assert predicate.mask(Batch.from_events([Event(Kind.UNMAP, map=1), access])).tolist() == [False, False]
