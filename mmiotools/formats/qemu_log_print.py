"""Batches → QEMU's log: `render` for single events, and columns for accesses in bulk."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

from mmiotools.events import Event, Kind, is_damage
from mmiotools.formats.base import BatchTexts, own_spelling
from mmiotools.formats.mmiotrace_print import without_spelling
from mmiotools.formats.mmiotrace_render import render as render_comment
from mmiotools.formats.qemu_events import full
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import EOL_BYTES, EOL_NAMES, Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, BinaryIO, Iterator, Mapping, NDArray

#: Names of a vfio region's last part, and the numbers of BARs.
_BARS = {f"BAR{number}": number for number in range(6)} | {"ROM": 6}
_VFIO_NAME = re.compile(r"(.+)/(?:(BAR[0-5]|ROM)|region([0-9]{1,9}))", re.DOTALL)


def render(event: Event) -> bytes | None:
    """The canonical line of an event, without line end; None when a log has no line for it.

    `raw` is not looked at: that is the writer's business.
    """
    if event.kind == Kind.NOTE:
        body = _note(event.extra)
    elif event.kind == Kind.HEADER:
        return render_comment(event) if event.extra.get("format") == "mmiotools" else None
    elif event.kind in (Kind.READ, Kind.WRITE) and event.width is not None and _fits(event.value):
        body = _access(event, b"read" if event.kind == Kind.READ else b"write")
    else:
        return None
    prefix = _prefix(event.time, event.pid)
    return None if body is None or prefix is None else prefix + body


def _fits(value: int | None) -> bool:
    """Whether a log can say a value: none has more than 64 bits."""
    return value is not None and not value >> 64


def _prefix(time: int | None, pid: int | None) -> bytes | None:
    if time is None:
        return b""
    if time < 0:
        return None
    seconds, rest = divmod(time // 1000, 1_000_000)
    if pid is not None:
        return b"%d@%d.%06d:" % (pid, seconds, rest)
    return f"{_date(seconds)}{f'.{rest:06d}' if rest else ''}Z ".encode()


def _date(seconds: int) -> str:
    """`YYYY-MM-DDThh:mm:ss` of seconds since 1970; no 64-bit number of nanoseconds is beyond the year 2262."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _note(extra: Mapping[str, Any]) -> bytes | None:
    text = extra.get("text")
    if text is None:
        return render_comment(Event(Kind.NOTE, extra=extra)) if is_damage(Kind.NOTE, extra) else b""
    return text if isinstance(text, bytes) else str(text).encode()


def _access(event: Event, op: bytes) -> bytes | None:
    width, value = event.width or 0, event.value or 0
    if event.addr is None and event.region is not None:
        return None if event.offset is None else _vfio(event, op)
    place = event.offset if event.addr is None else event.addr
    if place is None or "\n" in (event.region or ""):
        return None
    cpu = b"" if event.cpu is None else b"cpu %d " % event.cpu
    mr = b"" if "mr" not in event.extra else b"mr 0x%x " % event.extra["mr"]
    if event.addr is None:
        what = b"ops" if event.cpu is None else b"subpage"
        head = b"memory_region_%s_%s %s%s" % (what, op, cpu, mr)
        return b"%soffset 0x%x value 0x%x size %d" % (head, place, value, width)
    name = b"" if event.region is None else b" name '%s'" % event.region.encode("utf-8", "backslashreplace")
    return b"memory_region_ops_%s %s%saddr 0x%x value 0x%x size %d%s" % (op, cpu, mr, place, value, width, name)


def _vfio(event: Event, op: bytes) -> bytes | None:
    name, offset, value, width = event.region or "", event.offset or 0, event.value or 0, event.width or 0
    if name.endswith("/config") and "\n" not in name:
        device = full(name.removesuffix("/config")).encode("utf-8", "backslashreplace")
        if op == b"read":
            return b"vfio_pci_read_config  (%s, @0x%x, len=0x%x) 0x%x" % (device, offset, width, value)
        return b"vfio_pci_write_config  (%s, @0x%x, 0x%x, len=0x%x)" % (device, offset, value, width)
    match = _VFIO_NAME.fullmatch(name)
    if match is None or "\n" in name:
        return None
    device = full(match[1]).encode("utf-8", "backslashreplace")
    number = _BARS[match[2]] if match[2] else int(match[3])
    if op == b"read":
        return b"vfio_region_read  (%s:region%d+0x%x, %d) = 0x%x" % (device, number, offset, width, value)
    return b"vfio_region_write  (%s:region%d+0x%x, 0x%x, %d)" % (device, number, offset, value, width)


class LogWriter(BatchTexts):
    """Writes batches as lines. `lost` counts what the log has no place for."""

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        super().__init__(out)
        self._own = own_spelling(header, "qemu-log")

    def pieces(self, batch: Batch) -> Iterator[bytes]:
        """Print every event that a log can say; the others are counted in `lost`."""
        if batch.extras and not self._own:
            batch = without_spelling(batch)
        self._count_losses(batch)
        n = len(batch)
        ends = batch.data("eol") if "eol" in batch.columns else None
        lines: list[bytes] = [b""] * n
        shape = _shapes(batch)
        left = shape == 0
        for row, line in self._kept(batch, ends).items():
            lines[row] = line
            left[row] = False
        for one in distinct(shape[shape > 0]).tolist():
            rows = flatnonzero(shape == one)
            text = _formatted(batch, rows, one).encode("utf-8", "backslashreplace")
            if len(rows) == n and ends is None:
                yield text + b"\n"
                return
            for row, line in zip(rows.tolist(), _ended(text.split(b"\n"), ends, rows), strict=True):
                lines[row] = line
        for row in flatnonzero(left).tolist():
            lines[row] = self._line(batch.event(row))
        yield b"".join(lines)

    def _kept(self, batch: Batch, ends: NDArray[np.uint8] | None) -> dict[int, bytes]:
        """The lines, with their ends, of events that say how they are spelled: their own, or the text of a note."""
        spelled: list[int] = []
        noted: list[int] = []
        for row, extra in batch.extras.items():
            if self._own and isinstance(extra.get("raw"), bytes):
                spelled.append(row)
            elif isinstance(extra.get("text"), bytes):
                noted.append(row)
        found: dict[int, bytes] = {}
        if spelled:
            at = np.array(spelled, np.int64)
            texts = [batch.extras[row]["raw"] for row in spelled]
            found.update(zip(spelled, _ended(texts, ends, at), strict=True))
        if noted:
            at = np.array(noted, np.int64)
            time, pid = batch.present("time")[at], batch.present("pid")[at]
            plain = (batch.kind[at] == Kind.NOTE) & (~time | pid & (batch.data("time")[at] >= 0))
            at, time = at[plain], time[plain]
            texts = [batch.extras[row]["text"] for row in at.tolist()]
            if time.any():
                seconds, rest = np.divmod(batch.data("time")[at] // 1000, 1_000_000)
                numbers = zip(batch.data("pid")[at].tolist(), seconds.tolist(), rest.tolist(), strict=True)
                stamps = [b"%d@%d.%06d:" % stamp for stamp in numbers]
                stamped = zip(time.tolist(), stamps, texts, strict=True)
                texts = [stamp + text if here else text for here, stamp, text in stamped]
            found.update(zip(at.tolist(), _ended(texts, ends, at), strict=True))
        return found

    def _line(self, event: Event) -> bytes:
        end = EOL_BYTES[EOL_NAMES.index(event.extra.get("eol", "lf"))]
        raw = event.extra.get("raw") if self._own else None
        line = raw if isinstance(raw, bytes) else render(event)
        if line is None:
            what = event.kind.name
            if event.kind in (Kind.READ, Kind.WRITE):
                missing = [name for name in ("width", "value") if getattr(event, name) is None]
                if (event.value or 0) >> 64:
                    what += " of a value of more than 64 bits"
                else:
                    what += f" without {' and '.join(missing or ['an address that a log can say'])}"
            self.lost[what] += 1
            return b""
        return line + end

    def _count_losses(self, batch: Batch) -> None:
        for name in ("map", "pc"):
            if name in batch.columns:
                self.lost[name] += int((batch.present(name) & batch.of_kind(Kind.READ, Kind.WRITE)).sum())
        fine = int(np.count_nonzero(batch.data("time") % 1000))
        self.lost["time below one microsecond"] += fine
        self.lost = +self.lost


def _ended(lines: list[bytes], ends: NDArray[np.uint8] | None, rows: NDArray[np.intp]) -> list[bytes]:
    """Lines of some rows with their line ends; `ends` (n,) says which, None for LF."""
    if ends is None:
        return [line + b"\n" for line in lines]
    return [line + EOL_BYTES[end] for line, end in zip(lines, ends[rows].tolist(), strict=True)]


#: What a plain access has, as bits of its shape; 0 is the shape of a row that is no plain access.
_PLAIN, _TIME, _PID, _CPU, _MR, _NAMED, _DEVICE, _WRITE = (1 << bit for bit in range(8))


def _shapes(batch: Batch) -> NDArray[np.int64]:
    """The shape of every row, (n,)."""
    plain = batch.of_kind(Kind.READ, Kind.WRITE) & batch.present("width") & batch.present("value")
    region, offset, addr = (batch.present(name) for name in ("region", "offset", "addr"))
    device = region & offset & ~addr
    if device.any():
        device &= np.array([_VFIO_NAME.fullmatch(name) is not None for name in batch.regions.names])[
            batch.data("region")
        ]
    plain &= device | addr
    odd = np.array(["\n" in name for name in batch.regions.names] + [False])
    plain &= ~odd[np.where(region, batch.data("region"), len(odd) - 1)]
    plain &= batch.data("time") >= 0
    if batch.extras:
        plain[list(batch.extras)] = False
    time = batch.present("time")
    shape = np.full(len(batch), _PLAIN)
    for bit, has in (
        (_TIME, time),
        (_PID, time & batch.present("pid")),
        (_CPU, batch.present("cpu") & ~device),
        (_MR, batch.present("mr") & ~device),
        (_NAMED, region & ~device),
        (_DEVICE, device),
        (_WRITE, batch.kind == Kind.WRITE),
    ):
        shape |= has * bit
    shape *= plain
    return shape


def _formatted(batch: Batch, rows: NDArray[np.intp], shape: int) -> str:
    """The lines of the rows, which have this shape, without the last line end."""

    def column(name: str) -> list[Any]:
        found: list[Any] = batch.data(name)[rows].tolist()
        return found

    op = "write" if shape & _WRITE else "read"
    template, fields = "", []
    if shape & _TIME:
        seconds, rest = np.divmod(batch.data("time")[rows] // 1000, 1_000_000)
        if shape & _PID:
            template, fields = "%d@%d.%06d:", [column("pid"), seconds.tolist(), rest.tolist()]
        else:
            dates = {second: _date(second) for second in distinct(seconds).tolist()}
            stamps = zip(seconds.tolist(), rest.tolist(), strict=True)
            template, fields = "%s", [[f"{dates[s]}.{us:06d}Z " if us else f"{dates[s]}Z " for s, us in stamps]]
    if shape & _DEVICE:
        used = column("region")
        heads = {code: _device_head(batch.regions.names[code], op) for code in set(used)}
        fields += [[heads[code] for code in used], column("offset")]
        if shape & _WRITE:
            template += "%s0x%x, 0x%x, %d)"
            fields += [column("value"), column("width")]
        else:
            template += "%s0x%x, %d) = 0x%x"
            fields += [column("width"), column("value")]
    else:
        template += f"memory_region_ops_{op} "
        for bit, name, form in ((_CPU, "cpu", "cpu %d "), (_MR, "mr", "mr 0x%x ")):
            if shape & bit:
                template += form
                fields.append(column(name))
        template += "addr 0x%x value 0x%x size %d"
        fields += [column("addr"), column("value"), column("width")]
        if shape & _NAMED:
            template += " name '%s'"
            fields.append([batch.regions.names[code] for code in column("region")])
    return "\n".join([template % row for row in zip(*fields, strict=True)])


def _device_head(name: str, op: str) -> str:
    match = _VFIO_NAME.fullmatch(name)
    assert match is not None
    return f"vfio_region_{op}  ({full(match[1])}:region{_BARS[match[2]] if match[2] else int(match[3])}+"
