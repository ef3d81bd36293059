"""Random expressions and events, and a slow evaluator of one event that says what an expression means."""

import operator
import re

from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.filters.expr import (
    NUMBERS,
    WORDS,
    And,
    Compare,
    Matches,
    Member,
    Not,
    Or,
    Place,
    Span,
    Text,
    Word,
)
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.batch import Batch

OPS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
DEVICE = {"bdf": 0x18, "vendor": 0x8086, "device": 0x100E, "bars": [{"number": 0, "addr": 0x10100, "size": 0x80}]}
REGIONS = ("BAR0", "00:03.0/BAR0", "map1", "x/BAR2", "odd 'name")

numbers = st.one_of(
    st.integers(-3, 12),
    st.integers(0x100F8, 0x10228),
    st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 5, 2**70, -(2**63), -(2**63) - 1]),
)


def _span(name):
    return st.tuples(numbers, numbers).map(lambda ends: Span(min(ends), max(ends)))


_place_span = st.one_of(
    st.builds(Span, st.just(0), st.none(), st.sampled_from(REGIONS)),
    st.builds(lambda r, a, n: Span(a, a + n, r), st.sampled_from(REGIONS), st.integers(0, 40), st.integers(0, 40)),
)
_kinds = st.sampled_from([Kind.READ, Kind.WRITE, Kind.UNKNOWN])
_names = st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3)
_texts = st.lists(st.sampled_from(["go", "stop", "", "\udcff", "a'b\\"]), min_size=1, max_size=3)


def _in(name, spans):
    return Member(name, tuple(spans))


def _text(name, op, values):
    return Text(name, op, tuple(values) if op == "in" else (values[0],))


conditions = st.one_of(
    st.builds(Word, st.sampled_from(sorted(WORDS))),
    st.builds(Compare, st.sampled_from(sorted(NUMBERS)), st.sampled_from(sorted(OPS)), numbers),
    st.builds(
        Compare,
        st.sampled_from(sorted(set(NUMBERS) - {"time"})),
        st.sampled_from(sorted(OPS)),
        numbers,
        st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 0xFF, 2**63]),
    ),
    st.builds(Compare, st.just("value"), st.sampled_from(sorted(OPS)), numbers, st.just(2**70 + 1)),
    st.sampled_from(sorted(NUMBERS)).flatmap(
        lambda name: st.builds(_in, st.just(name), st.lists(_span(name), min_size=1, max_size=4))
    ),
    st.builds(_in, st.just("offset"), st.lists(st.integers(0, 40).map(lambda n: Span(n, n)), min_size=9, max_size=12)),
    st.builds(_in, st.just("addr"), st.lists(_place_span, min_size=1, max_size=3)),
    st.builds(Place, st.sampled_from(sorted(OPS)), st.sampled_from(REGIONS), st.integers(0, 40)),
    st.builds(Compare, st.just("op"), st.sampled_from(["==", "!="]), _kinds.map(int)),
    st.builds(Compare, st.just("kind"), st.sampled_from(["==", "!="]), st.sampled_from([int(k) for k in Kind])),
    st.builds(
        _text, st.just("region"), st.sampled_from(["==", "!=", "in"]), st.lists(st.sampled_from(REGIONS), min_size=1)
    ),
    st.builds(_text, st.just("mark"), st.sampled_from(["==", "!=", "in"]), _texts),
    st.builds(Matches, st.just("mark"), st.sampled_from(["o", "^$", "[^g]o", "\\xff", "it\\'s", '"']), st.booleans()),
    st.builds(Matches, st.just("region"), st.sampled_from(["BAR", "^map", "'"]), st.booleans()),
)


def expressions():
    """Trees as the parser makes them: names and numbers in canonical form."""
    return st.recursive(
        conditions,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


def _maybe(strategy):
    return st.none() | strategy


def _event(kind, **fields):
    return Event(kind, **fields)


_accesses = st.builds(
    _event,
    st.sampled_from([Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
    time=_maybe(st.integers(-5, 12) | st.just(2**63 - 1)),
    width=_maybe(st.sampled_from([1, 2, 4, 8])),
    map=_maybe(st.integers(-2, 3)),
    addr=_maybe(st.integers(0x100F8, 0x10228) | st.just(2**64 - 1)),
    value=_maybe(st.integers(0, 12) | st.sampled_from([2**63, 2**64 - 1, 2**64, 2**70 + 1, 2**200])),
    pc=_maybe(st.sampled_from([0, 5, 2**64 - 1])),
    pid=_maybe(st.integers(-3, 5)),
    cpu=_maybe(st.integers(0, 3)),
)
_named = st.builds(
    _event, st.just(Kind.READ), region=st.sampled_from(REGIONS[3:]), offset=st.integers(0, 40), value=st.integers(0, 3)
)
_others = st.one_of(
    st.builds(lambda text: Event(Kind.MARK, 5, extra={"text": text}), st.sampled_from([b"go", b"", b"\xff", b"a'b\\"])),
    st.just(Event(Kind.MARK, 6)),
    st.builds(lambda i: Event(Kind.MAP, 1, map=i, addr=0x10200, extra={"length": 0x20}), st.integers(1, 2)),
    st.builds(lambda i: Event(Kind.UNMAP, 2, map=i), st.integers(-1, 2)),
    st.just(Event(Kind.DEVICE, extra=DEVICE)),
    st.just(Event(Kind.LOST, 0, extra={"count": 3})),
    st.just(Event(Kind.NOTE, extra={"text": b"# x"})),
    st.just(Event(Kind.HEADER)),
    st.just(Event(Kind.IRQ, 3, cpu=1)),
)
events = st.lists(st.one_of(_accesses, _accesses, _named, _others), max_size=30)


class Naive:
    """Evaluates one event after the other, field by field, as the language is documented."""

    def __init__(self):
        self.addresses = AddressMap()

    def holds(self, node, event):
        """Whether the expression is true of the event, which comes next in the stream."""
        resolved = self.addresses.resolve(Batch.from_events([event]))
        code = int(resolved.region[0])
        place = (self.addresses.regions[code].name, int(resolved.offset[0])) if code >= 0 else None
        return self._holds(node, event, place)

    def _holds(self, node, event, place):
        match node:
            case Word(name):
                return event.kind in WORDS[name]
            case Not(operand):
                return not self._holds(operand, event, place)
            case And(operands):
                return all(self._holds(o, event, place) for o in operands)
            case Or(operands):
                return any(self._holds(o, event, place) for o in operands)
            case Place(op, region, offset):
                inside = place is not None and _same(region, place[0])
                if op == "!=":
                    return (event.addr is not None or place is not None) and not (inside and place[1] == offset)
                return inside and OPS[op](place[1], offset)
            case Compare(name, op, value, mask):
                number = _field(name, event, place)
                if number is None:
                    return False
                return OPS[op](
                    number if mask is None else number & mask if number >= 0 else (number % 2**64) & mask, value
                )
            case Member(name, spans):
                return any(self._in_span(name, span, event, place) for span in spans)
            case Text("region", op, values):
                return place is not None and any(_same(v, place[0]) for v in values) == (op != "!=")
            case Text("mark", op, values):
                text = _mark(event)
                return text is not None and (text.decode("utf-8", "surrogateescape") in values) == (op != "!=")
            case Matches(name, pattern, negated):
                text = _mark(event) if name == "mark" else place[0].encode() if place else None
                return text is not None and (re.search(pattern.encode(), text) is not None) != negated
        raise AssertionError(node)

    def _in_span(self, name, span, event, place):
        if span.region is not None:
            inside = place is not None and _same(span.region, place[0])
            return inside and span.low <= place[1] and (span.high is None or place[1] <= span.high)
        number = _field(name, event, place)
        return number is not None and span.low <= number <= span.high


def _mark(event):
    return event.extra.get("text") if event.kind == Kind.MARK else None


def _same(name, region):
    return region in (name,) or region.split("/")[-1] == name


def _field(name, event, place):
    if name == "kind":
        return int(event.kind)
    if name == "op":
        return int(event.kind) if event.kind <= Kind.UNKNOWN else None
    if name == "offset":
        return place[1] if place else None
    if name == "bar":
        last = place[0].split("/")[-1] if place else ""
        return int(last[3:]) if last.startswith("BAR") else None
    return getattr(event, name)
