"""CSV and TSV: any reader of tables gets the texts back, and what is left out is named."""

from __future__ import annotations

import csv
import io

import pytest

from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import Sniff, damaged
from mmiotools.formats.csv import COLUMNS, CSV, TSV, TableFormat
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader


def table(form: TableFormat, events: list[Event], digits: int = 6) -> tuple[str, dict[str, int]]:
    out = io.BytesIO()
    writer = form.writer(out, TraceHeader("mmiotrace", "boot", digits))
    writer.write(Batch.from_events(events))
    writer.write(Batch.from_events([]))
    writer.close()
    return out.getvalue().decode(), dict(writer.lost)


def rows(events: list[Event], digits: int = 6) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(CSV, events, digits)[0], newline="")))


def test_quoting_is_undone_by_any_reader() -> None:
    texts = ["plain", 'a "b", c', "two\nlines\r\n", "\ttab\\", "é", ""]
    found = rows([Event(Kind.MARK, 0, extra={"text": text.encode()}) for text in texts])
    assert [row["text"] for row in found] == texts
    text, _ = table(TSV, [Event(Kind.MARK, 0, extra={"text": b"a\tb\nc\\\r"})])
    assert text.splitlines()[1].split("\t")[-1] == "a\\tb\\nc\\\\\\r"


@pytest.mark.parametrize(
    ("time", "digits", "shown"),
    [
        (0, 6, "0.000000"),
        (1_500_000_000, 0, "1.500000000"),
        (2_000_000_000, 0, "2"),
        (-1_500_000_000, 3, "-1.500"),
        (2**63 - 1, 6, "9223372036.854775807"),
        (None, 6, ""),
    ],
)
def test_times_are_exact(time: int | None, digits: int, shown: str) -> None:
    assert rows([Event(Kind.MARK, time)], digits)[0]["time"] == shown


def test_absent_is_empty_and_zero_is_zero() -> None:
    zero, absent = rows([Event(Kind.READ, 0, 4, 0, 0, value=0, pc=0, pid=0, cpu=0), Event(Kind.READ)])
    shown = [zero[name] for name in ("width", "map", "addr", "value", "pc", "pid", "cpu")]
    assert shown == ["4", "0", "0x0", "0x0", "0x0", "0", "0"]
    assert set(absent.values()) == {"READ", ""}


def test_region_and_offset_from_a_map_and_wide_values() -> None:
    events = [
        Event(Kind.MAP, 0, map=3, addr=0x1000, extra={"virt": 0xF000, "length": 0x100}),
        Event(Kind.WRITE, 1, 16, 3, 0x1010, value=1 << 100),
        Event(Kind.READ, 1, 4, region="regs", offset=0),
    ]
    mapped, write, read = rows(events)
    assert (mapped["virt"], mapped["length"]) == ("0xf000", "0x100")
    assert (write["region"], write["offset"], write["value"]) == ("map3", "0x10", f"{1 << 100:#x}")
    assert (read["addr"], read["region"], read["offset"]) == ("", "regs", "0x0")


def test_what_is_lost_is_named() -> None:
    events = [
        Event(Kind.READ, 0, extra={"raw": b"R", "eol": "crlf"}),
        damaged("torn", text=b"\xff", line=4),
        Event(Kind.MARK, 0, extra={"text": b"ok", "novel": 1}),
    ]
    text, lost = table(CSV, events)
    assert text.splitlines()[2].endswith(",\\xff")
    assert lost == {
        "raw spelling of lines": 1,
        "reasons, places and counts of damage": 1,
        "bytes that are not UTF-8 (escaped)": 1,
        "'novel'": 1,
        "line ends other than LF": 1,
    }
    assert table(CSV, [Event(Kind.READ, 0, 4, addr=0, value=1)])[1] == {}


def test_never_read() -> None:
    assert CSV.sniff(",".join(COLUMNS).encode()) == Sniff.NO
    with pytest.raises(UsageError, match="written but not read"):
        TSV.read(ByteSource(io.BytesIO(b"x"), "x"))
