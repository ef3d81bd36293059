"""One event → one line of mmiotrace text: the canonical spelling of every kind of record."""

from __future__ import annotations

from mmiotools.events import Event, Kind, is_damage
from mmiotools.trace.header import PciDevice
from mmiotools.typed import Any, Mapping

VERSION = "20070824"
#: Comment lines that carry what the text dialect has no record for.
META = b"# mmiotools: "
DAMAGED = b"# mmiotools damaged: "


def render(event: Event) -> bytes | None:
    """The canonical line of an event, without line end; None when the dialect has no record for it.

    Text of a MARK or NOTE is written as it is. `raw` is not looked at: that is the writer's business.
    """
    kind, extra = event.kind, event.extra
    stamp = _stamp(event.time)
    tail = f"{_hex(event.pc)} {event.pid or 0}"
    if kind in (Kind.READ, Kind.WRITE):
        if event.width is None or event.addr is None or event.value is None or event.value >> 64:
            return None
        head = f"{'R' if kind == Kind.READ else 'W'} {event.width} {stamp} {event.map or 0}"
        return f"{head} {_hex(event.addr)} {_hex(event.value)} {tail}".encode()
    if kind == Kind.UNKNOWN:
        if event.addr is None or "opcode" not in extra:
            return None
        opcode = ",".join(f"{byte:02x}" for byte in extra["opcode"])
        return f"UNKNOWN {stamp} {event.map or 0} {_hex(event.addr)} {opcode} {tail}".encode()
    if kind == Kind.MAP:
        if event.addr is None:
            return None
        virt, length = _hex(extra.get("virt")), _hex(extra.get("length"))
        return f"MAP {stamp} {event.map or 0} {_hex(event.addr)} {virt} {length} {tail}".encode()
    if kind == Kind.UNMAP:
        return f"UNMAP {stamp} {event.map or 0} {tail}".encode()
    if kind == Kind.MARK:
        return f"MARK {stamp} ".encode() + _bytes(extra.get("text", b""))
    if kind == Kind.LOST:
        return _render_lost(event)
    if kind == Kind.DEVICE:
        return _render_device(PciDevice.from_extra(extra))
    if kind == Kind.HEADER:
        if extra.get("format") == "mmiotrace" and "version" in extra:
            return f"VERSION {extra['version']}".encode()
        return META + _json(extra, "format")
    if kind == Kind.NOTE:
        return _render_note(extra)
    return None


def _render_lost(event: Event) -> bytes | None:
    count = event.extra.get("count")
    if event.time is None and event.cpu is not None:
        if count is None:
            return f"CPU:{event.cpu} [EVENTS DROPPED]".encode()
        return f"CPU:{event.cpu} [LOST {count} EVENTS]".encode()
    return None if count is None else f"MARK 0.000000 Lost {count} events.".encode()


def _render_device(device: PciDevice) -> bytes:
    printed = [(0, 0)] * 7
    for bar in device.bars:
        if 0 <= bar.number < 7:
            printed[bar.number] = (bar.addr | bar.flags, bar.size)
    addresses = " ".join(f"{addr:x}" for addr, _ in printed)
    sizes = " ".join(f"{size:x}" for _, size in printed)
    ids = f"{device.bdf:04x} {device.vendor:04x}{device.device:04x} {device.irq:x}"
    return f"PCIDEV {ids} {addresses} {sizes} {device.driver}".encode()


def _render_note(extra: Mapping[str, Any]) -> bytes:
    if "text" in extra:
        return _bytes(extra["text"])
    if is_damage(Kind.NOTE, extra):
        return DAMAGED + _json(extra, "damaged")
    return b"# mmiotools note"


def _json(extra: Mapping[str, Any], told: str) -> bytes:
    """Extras as JSON, without the one that the comment's name tells and those that are about the line itself."""
    import json  # Few traces have these, and it takes a while.

    content = {key: item for key, item in extra.items() if key not in (told, "raw", "eol")}
    return json.dumps(content, separators=(",", ":"), sort_keys=True, default=repr).encode()


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _hex(number: int | None) -> str:
    return f"{number or 0:#x}"


def _stamp(time: int | None) -> str:
    # There is no time below zero, as there is none that is absent.
    seconds, rest = divmod(max(time or 0, 0) // 1000, 1_000_000)
    return f"{seconds}.{rest:06d}"
