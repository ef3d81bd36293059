"""The quick way from a native file to text gives what the other way gives, or says that it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filter_expressions import events, expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools import speed
from mmiotools.cli.common import Run
from mmiotools.cli.filter_batches import select_batches
from mmiotools.cli.filtering import Asked, Request, filter_trace
from mmiotools.errors import MmioToolsError
from mmiotools.events import Event, Kind
from mmiotools.filters.expr import Expr, Not
from mmiotools.filters.grammar import parse
from mmiotools.filters.window import Window
from mmiotools.formats import native_plain, native_write
from mmiotools.formats.native_stored import Unfit
from mmiotools.quick.select import Part, Question, open_selection
from mmiotools.speed import compiled
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

pytestmark = pytest.mark.usefixtures("shared_rows")

FAST = speed.compiled.__wrapped__()

times = st.integers(0, 12).map(lambda step: 1000 * step)
addresses = st.integers(0x100F8, 0x10228) | st.sampled_from([0, 2**32, 2**64 - 1])
words = st.integers(0, 12) | st.sampled_from([255, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
#: Accesses as a kernel records them, of which a block's columns may be constant, plain, or codes.
plain = st.builds(
    lambda kind, time, width, map_id, addr, value, pid: Event(
        kind, time, width, map_id, addr, value=value, pc=0, pid=pid
    ),
    st.sampled_from([Kind.READ, Kind.WRITE]),
    times,
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 3),
    addresses,
    words,
    st.integers(0, 1),
)
unknown = st.builds(
    lambda time, addr, opcode: Event(
        Kind.UNKNOWN, time, map=1, addr=addr, pc=0, pid=0, extra={"opcode": opcode}
    ),
    times,
    addresses,
    st.binary(min_size=3, max_size=3),
)
rare = st.one_of(
    st.builds(
        lambda time, map_id, addr: Event(
            Kind.MAP, time, map=map_id, addr=addr, pc=0, pid=0, extra={"virt": 0xFFFF, "length": 0x100}
        ),
        times,
        st.integers(1, 3),
        addresses,
    ),
    st.builds(lambda time, map_id: Event(Kind.UNMAP, time, map=map_id, pc=0, pid=0), times, st.integers(1, 3)),
    # Text has no room for such a time, which has to be said.
    st.builds(lambda time: Event(Kind.UNMAP, time + 5, map=1, pc=0, pid=0), times),
    st.builds(lambda time: Event(Kind.MARK, time, extra={"text": b"go"}), times),
    st.just(Event(Kind.LOST, cpu=1, extra={"count": 3})),
    st.just(Event(Kind.LOST, 0, extra={"count": 2})),
    st.just(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"})),
    st.just(Event(Kind.DEVICE, extra={"bdf": 24, "vendor": 1, "device": 2, "irq": 0, "bars": [], "driver": ""})),
)
recorded = st.lists(plain | plain | plain | unknown | rare, min_size=1, max_size=40)
bounds = st.none() | times | st.integers(-3, 12_500)


@pytest.fixture(autouse=True, params=[1, 1000], ids=["with the context in the footer", "without"])
def many(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_write, "MANY", request.param)
        yield


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """The compiled engine, and plain Python for whom there is none."""
    if FAST is None and request.param == "compiled":
        pytest.skip("the compiled engine was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMIOTOOLS_ENGINE", request.param)
        speed.compiled.cache_clear()
        yield
    speed.compiled.cache_clear()


def written(stream: list[Event], block: int, folder: Path) -> Path:
    """The events as a native file with blocks of so many."""
    folder.mkdir(exist_ok=True)
    path = folder / "trace.mmio"
    with path.open("wb") as out:
        writer = native_write.NativeWriter(out, TraceHeader("mmiotrace", "boot", 6), block)
        writer.write(Batch.from_events(stream))
        writer.close()
    return path


def _held(part: Part) -> Part:
    return part._replace(text=bytes(part.text))


def quickly(path: Path, question: Question) -> list[Part] | None:
    """What the quick way gives; None where it cannot."""
    with path.open("rb") as file:
        selection = open_selection(file.fileno(), os.fstat(file.fileno()).st_size, question)
        try:
            return None if selection is None else [_held(part) for part in selection.parts()]
        except Unfit:
            return None


def compared(path: Path, node: Expr, first: int | None, last: int | None, bare: bool) -> bool:
    """Compare the two ways; whether the quick one did it."""
    out = path.with_suffix(".mmiotrace")
    request = Request("", str(path), bare=bare, to_format="mmiotrace", output=str(out), strict=True, quiet=True)
    asked = Asked(request, Run(True), node, None, Window(None, None, first, last))
    parts = quickly(path, Question(node, first, last, bare, False))
    try:
        selected = select_batches(asked)
    except MmioToolsError as error:
        # Something is lost, which only this way can say.
        assert "cannot hold" in str(error)
        assert parts is None
        return False
    if parts is not None:
        assert b"".join(part.text for part in parts) == out.read_bytes()
        assert sum(part.selected for part in parts) == selected
    counted = quickly(path, Question(node, first, last, bare, True))
    if counted is not None:
        assert sum(part.selected for part in counted) == selected
    return parts is not None


plainly = expressions().filter(lambda node: not any(word in str(node) for word in ("offset", "bar", "region", "mark")))


@settings(max_examples=200)
@given(recorded, plainly, bounds, bounds, st.booleans(), st.integers(1, 12), st.booleans())
def test_what_is_kept_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    stream: list[Event],
    node: Expr,
    first: int | None,
    last: int | None,
    bare: bool,
    block: int,
    invert: bool,
) -> None:
    path = written(stream, block, tmp_path_factory.mktemp("quick"))
    compared(path, Not(node) if invert else node, first, last, bare)


@settings(max_examples=100)
@given(events, expressions(), bounds, bounds, st.booleans(), st.integers(1, 5))
def test_any_events_are_kept_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    stream: list[Event],
    node: Expr,
    first: int | None,
    last: int | None,
    bare: bool,
    block: int,
) -> None:
    compared(written(stream, block, tmp_path_factory.mktemp("quick")), node, first, last, bare)


@pytest.mark.parametrize(
    "expression",
    ["read", "write and addr in 0x10100-0x10180", "value & 1 != 0 or not access", "time < 0.000004", "map > 1"],
)
@pytest.mark.parametrize("window", [(None, None), (3000, 7000), (None, 5000), (6000, None)])
def test_what_kernels_record_is_done_quickly(
    tmp_path: Path, expression: str, window: tuple[int | None, int | None]
) -> None:
    accesses = [
        Event(Kind(n % 2), 1000 * n, 4, 1 + n % 2, 0x10100 + 4 * (n % 40), value=n * n, pc=0, pid=n % 3 == 0)
        for n in range(300)
    ]
    stream = [Event(Kind.MAP, 0, map=1, addr=0x10000, pc=0, pid=0, extra={"virt": 1, "length": 0x200}), *accesses]
    path = written([*stream, Event(Kind.UNMAP, 400_000, map=1, pc=0, pid=0)], 16, tmp_path)
    for bare in (False, True):
        assert compared(path, parse(expression), *window, bare)


@pytest.mark.parametrize("place", [0.4, 0.6, 0.9])
def test_damage_half_way_is_left_to_the_other_way(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], place: float
) -> None:
    stream = [Event(Kind.READ, 1000 * n, 4, 1, 0x1000 + n, value=n * 77, pc=0, pid=0) for n in range(2000)]
    path = written(stream, 50, tmp_path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0xFF
    path.write_bytes(data)
    request = Request("read", str(path), to_format="mmiotrace")
    status = filter_trace(request)
    quick = capfdbinary.readouterr()
    asked = Asked(request, Run(), parse("read"), None, Window())
    select_batches(asked)
    assert (quick, status) == (capfdbinary.readouterr(), asked.run.status)
    assert status == 3
    assert quick.out.startswith(b"R 4 0.000000 1 0x1000 0x0 0x0 0\n")


def test_unfit_says_so_before_anything_is_written(tmp_path: Path) -> None:
    note = Event(Kind.NOTE, extra={"text": b"# a comment"})
    path = written([note, Event(Kind.READ, 1000, 4, 1, 8, value=1, pc=0, pid=0)], 4, tmp_path)
    assert quickly(path, Question(parse("read"), None, None, False, False)) is None


def test_what_would_take_long_in_plain_python_is_left_to_the_other_way(tmp_path: Path) -> None:
    stream = [
        Event(Kind.READ, 1000 * n, 4, 1, 0x1000 + n % 9, value=n % 7, pc=0, pid=0) for n in range(3 * native_plain.MOST)
    ]
    path = written(stream, native_plain.MOST, tmp_path)
    untimed = written([event._replace(time=None) for event in stream], 1 << 14, tmp_path / "untimed")
    short = quickly(path, Question(parse("all"), 1_000_000, 2_000_000, False, False))
    assert short is not None and sum(part.selected for part in short) == 1001
    for source, question in (
        (path, Question(parse("value == 3"), None, None, False, False)),
        (untimed, Question(parse("value == 3"), None, -5, False, True)),
    ):
        assert (quickly(source, question) is None) is (compiled() is None)
    block = stream[: native_plain.MOST]
    alike = written(block, len(block), tmp_path / "alike")
    various = written([event._replace(value=n) for n, event in enumerate(block)], len(block), tmp_path / "various")
    everything = Question(parse("all"), None, None, False, False)
    assert quickly(alike, everything) is not None
    assert (quickly(various, everything) is None) is (compiled() is None)
