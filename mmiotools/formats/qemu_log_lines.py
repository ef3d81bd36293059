"""One line of QEMU's log ↔ one event: every spelling of every version, and what counts as damage.

This is the exact, slow path. `qemu_log_scan` does the bulk on columns and leaves every unusual line to `parse_line`;
`render` is the canonical spelling for both directions, that of QEMU 6.1 and later.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.formats.mmiotrace_lines import parse_line as parse_comment
from mmiotools.formats.mmiotrace_render import DAMAGED, META
from mmiotools.formats.qemu_events import region_name, short, text_of
from mmiotools.formats.qemu_log_print import render
from mmiotools.typed import Any, Callable

_HEX = rb"(0x[0-9a-fA-F]{1,16}|0)"
_INT = rb"(-?\d{1,9})"
_DEVICE = rb"(.+)"
#: Seconds whose nanoseconds do not fit.
LAST_SECOND = 9_223_372_036
_STAMP = re.compile(rb"(\d{1,9})@(\d{1,10})\.(\d{6}):")
_ISO = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{6}))?Z ")
_MEMORY_REGION = re.compile(
    rb"memory_region_(ops|subpage|ram_device)_(read|write) +(?:cpu +(-?\d{1,9}) +)?(?:mr +(0x[0-9a-fA-F]{1,16}) +)?"
    rb"(addr|offset) +" + _HEX + rb" +value +" + _HEX + rb" +size +(\d{1,3})(?: +name +'(.*)')?$",
    re.DOTALL,
)
_IN_REGION = rb" +\(" + _DEVICE + rb":region(\d{1,9})\+" + _HEX + rb", +"
_REGION_READ = re.compile(rb"vfio_region_read" + _IN_REGION + rb"(\d{1,3})\) += +" + _HEX + rb"$", re.DOTALL)
_REGION_WRITE = re.compile(rb"vfio_region_write" + _IN_REGION + _HEX + rb", +(\d{1,3})\)$", re.DOTALL)
_IN_CONFIG = rb" +\(" + _DEVICE + rb", @" + _HEX + rb", +"
_CONFIG_READ = re.compile(rb"vfio_pci_read_config" + _IN_CONFIG + rb"len=" + _HEX + rb"\) +" + _HEX + rb"$", re.DOTALL)
_CONFIG_WRITE = re.compile(rb"vfio_pci_write_config" + _IN_CONFIG + _HEX + rb", +len=" + _HEX + rb"\)$", re.DOTALL)
_ROM_READ = re.compile(rb"vfio_rom_read +\(" + _DEVICE + rb", +" + _HEX + rb", +" + _HEX + rb"\) += +" + _HEX + rb"$")
_VGA_READ = re.compile(rb"vfio_vga_read +\(" + _HEX + rb", +(\d{1,3})\) += +" + _HEX + rb"$")
_VGA_WRITE = re.compile(rb"vfio_vga_write +\(" + _HEX + rb", +" + _HEX + rb", +(\d{1,3})\)$")
_PCI_CFG = re.compile(
    rb"pci_cfg_(read|write) (.+) (?:([0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])|(\d+:\d+)) @(0x[0-9a-f]{1,4}) (->|<-) "
    + _HEX
    + rb"$"
)

_NUMBER = rb"(?P<vector>\d{1,9})"
_LEVEL = rb"(?P<level>\d{1,9})"
#: Interrupts: event → what follows it. Of message-signalled ones only the vector is told.
INTERRUPTS = {
    b"vfio_intx_interrupt": rb" \((?P<source>.+)\) Pin (?P<pin>.)",
    b"vfio_msi_interrupt": rb" \((?P<source>.+)\) vector "
    + _NUMBER
    + rb" 0x(?P<addr>[0-9a-f]{1,16})/0x(?P<value>[0-9a-f]{1,8})",
    b"x86_gsi_interrupt": rb"GSI interrupt #" + _NUMBER + rb" level:" + _LEVEL,
    b"x86_pic_interrupt": rb"PIC interrupt #" + _NUMBER + rb" level:" + _LEVEL,
    b"pic_set_irq": rb"master \d irq " + _NUMBER + rb" level " + _LEVEL,
    b"pic_interrupt": rb"irq \d+ intno " + _NUMBER,
    b"ioapic_set_irq": rb"vector: " + _NUMBER + rb" level: " + _LEVEL,
    b"apic_deliver_irq": rb"dest \d+ dest_mode \d+ delivery_mode \d+ vector "
    + _NUMBER
    + rb"(?: polarity \d+)? trigger_mode \d+",
    b"gic_set_irq": rb"irq " + _NUMBER + rb" level " + _LEVEL + rb" cpumask 0x[0-9a-f]+ target 0x[0-9a-f]+",
    b"gicv3_dist_set_irq": rb"GICv3 distributor interrupt " + _NUMBER + rb" level changed to " + _LEVEL,
    b"nvic_set_irq_level": rb"NVIC external irq " + _NUMBER + rb" level set to " + _LEVEL,
    b"aspeed_vic_set_irq": rb"Enabling IRQ " + _NUMBER + rb": " + _LEVEL,
    b"bcm2835_ic_set_gpu_irq": rb"GPU irq #" + _NUMBER + rb" level " + _LEVEL,
    b"bcm2835_ic_set_cpu_irq": rb"CPU irq #" + _NUMBER + rb" level " + _LEVEL,
    b"loongarch_pch_pic_irq_handler": rb"irq " + _NUMBER + rb" level " + _LEVEL,
    b"e1000e_irq_legacy_notify": rb"IRQ line state: " + _LEVEL,
    b"e1000e_irq_msix_notify_vec": rb"MSI-X notify vector 0x(?P<hex>[0-9a-f]{1,8})",
    b"pci_nvme_irq_msix": rb"raising MSI-X IRQ vector " + _NUMBER,
    b"usb_xhci_irq_intx": rb"level " + _LEVEL,
    b"usb_xhci_irq_msi": rb"nr " + _NUMBER,
    b"usb_xhci_irq_msix": rb"nr " + _NUMBER,
    b"virtio_mmio_setting_irq": rb"virtio_mmio setting IRQ " + _LEVEL,
}
_INTERRUPT = {name: re.compile(name + b" " + rest + b"$") for name, rest in INTERRUPTS.items()}

#: Where a record of an access begins, anywhere in a line: to find those that ran into something else.
_BEGINNING = re.compile(
    rb"memory_region_(?:ops|subpage|ram_device)_(?:read|write) (?:cpu|mr|addr|offset) "
    rb"|vfio_(?:region_read|region_write|pci_read_config|pci_write_config|rom_read|vga_read|vga_write) +\("
)
#: What only a record has, wherever its name went.
_FIELDS = re.compile(
    rb"cpu -?\d+ mr 0x|mr 0x[0-9a-f]+ (?:addr|offset) |(?:addr|offset) 0x[0-9a-f]+ value |value 0x[0-9a-f]+ size \d"
    rb"|:region\d+\+0x[0-9a-f]+, (?:0x[0-9a-f]+, )?\d+\)(?! failed| = 0x[0-9a-f]+$)"
    rb"|@0x[0-9a-f]+, (?:0x[0-9a-f]+, )?len=0x|:region\d+\+0x[0-9a-f]+, \d+\) = 0x"
)
#: Every line with a match of `_BEGINNING` or `_FIELDS` has one of these.
TELLTALES = (b"memory_region_", b"vfio_", b"mr 0x", b" value ", b" size ", b":region", b"len=0x")
#: A keyword of a record with its blank, to see whether a last line may be the beginning of one.
_KEYWORDS = (
    *(b"memory_region_%s_%s " % (a, op) for a in (b"ops", b"subpage", b"ram_device") for op in (b"read", b"write")),
    *(b"vfio_%s  " % name for name in (b"region_read", b"region_write", b"pci_read_config", b"pci_write_config")),
)
_COMMENTS = (META, DAMAGED)


def parse_line(line: bytes, number: int, *, ended: bool = True) -> Event:
    """The event of one line, given without its line end. Never raises.

    number  of the line, from 1
    ended   False for a last line without line end: it is an event only if nothing of it can be missing
    """
    if line.startswith(_COMMENTS):
        return parse_comment(line, number, ended=ended)
    time, pid, body = stamp(line)
    event = _parse(body)
    if event is not None and (len(_BEGINNING.findall(line)) > 1 or (event.width or 0) > 255):
        event = None
    if event is not None:
        if not ended and not body.endswith((b"'", b")")):
            return damaged("the last line is cut off", text=line, line=number)
        event = event._replace(time=time, pid=pid)
        return event if render(event) == line else event._replace(extra={**event.extra, "raw": line})
    if not ended or b"0x" in line or b"memory_region_" in line or b"vfio_" in line:  # else it cannot be one
        problem = _unreadable(line, body, number, ended)
        if problem is not None:
            return problem
    if time is None:
        return Event(Kind.NOTE, extra={"text": line})
    note = Event(Kind.NOTE, time, pid=pid, extra={"text": body})
    return note if render(note) == line else Event(Kind.NOTE, extra={"text": line})


def stamp(line: bytes) -> tuple[int | None, int | None, bytes]:
    """Nanoseconds since 1970, process or thread, and what follows, of a line with either prefix or none."""
    match = _STAMP.match(line)
    if match is not None and int(match[2]) < LAST_SECOND:
        return int(match[2]) * 1_000_000_000 + int(match[3]) * 1000, int(match[1]), line[match.end() :]
    match = _ISO.match(line)
    if match is not None:
        seconds = iso_seconds(match[1])
        if seconds is not None and 0 <= seconds < LAST_SECOND:
            return seconds * 1_000_000_000 + int(match[2] or 0) * 1000, None, line[match.end() :]
    return None, None, line


def iso_seconds(text: bytes) -> int | None:
    """Seconds since 1970 of `YYYY-MM-DDThh:mm:ss` in UTC, or None when there is no such second."""
    try:
        return int(datetime.fromisoformat(text.decode()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


# -- reading ---------------------------------------------------------------------------------------------------


def _parse(body: bytes) -> Event | None:
    body = body.strip(b" ")
    keyword = body[: body.find(b" ")]
    parser = _PARSERS.get(keyword)
    if parser is not None:
        return parser(body)
    interrupt = _INTERRUPT.get(keyword)
    return None if interrupt is None else _parse_interrupt(interrupt.match(body), keyword)


def _parse_memory(body: bytes) -> Event | None:
    match = _MEMORY_REGION.match(body)
    if match is None:
        return None
    kind = Kind.READ if match[2] == b"read" else Kind.WRITE
    cpu = None if match[3] is None else int(match[3])
    place = int(match[6], 16)
    # Up to QEMU 2.5 the number was an offset, whatever its label said; those versions told no CPU.
    by_offset = match[5] == b"offset" or (cpu is None and match[4] is not None and match[9] is None)
    region = None
    if match[9] is not None:
        region = text_of(match[9])
    return Event(
        kind,
        width=int(match[8]),
        addr=None if by_offset else place,
        region=region,
        offset=place if by_offset else None,
        value=int(match[7], 16),
        cpu=cpu,
        extra={} if match[4] is None else {"mr": int(match[4], 16)},
    )


def _parse_region_read(body: bytes) -> Event | None:
    match = _REGION_READ.match(body)
    return match and _in_region(Kind.READ, match[1], int(match[2]), match[3], int(match[4]), match[5])


def _parse_region_write(body: bytes) -> Event | None:
    match = _REGION_WRITE.match(body)
    return match and _in_region(Kind.WRITE, match[1], int(match[2]), match[3], int(match[5]), match[4])


def _in_region(kind: Kind, device: bytes, number: int, offset: bytes, width: int, value: bytes) -> Event:
    name = region_name(text_of(device), number)
    return Event(kind, width=width, region=name, offset=int(offset, 16), value=int(value, 16))


def _parse_config_read(body: bytes) -> Event | None:
    match = _CONFIG_READ.match(body)
    return match and _in_config(Kind.READ, match[1], match[2], match[3], match[4])


def _parse_config_write(body: bytes) -> Event | None:
    match = _CONFIG_WRITE.match(body)
    return match and _in_config(Kind.WRITE, match[1], match[2], match[4], match[3])


def _in_config(kind: Kind, device: bytes, offset: bytes, width: bytes, value: bytes) -> Event:
    name = f"{short(text_of(device))}/config"
    return Event(kind, width=int(width, 16), region=name, offset=int(offset, 16), value=int(value, 16))


def _parse_rom_read(body: bytes) -> Event | None:
    match = _ROM_READ.match(body)
    return match and _in_region(Kind.READ, match[1], 6, match[2], int(match[3], 16), match[4])


def _parse_vga_read(body: bytes) -> Event | None:
    match = _VGA_READ.match(body)
    return match and _in_vga(Kind.READ, match[1], int(match[2]), match[3])


def _parse_vga_write(body: bytes) -> Event | None:
    match = _VGA_WRITE.match(body)
    return match and _in_vga(Kind.WRITE, match[1], int(match[3]), match[2])


def _in_vga(kind: Kind, addr: bytes, width: int, value: bytes) -> Event:
    place = int(addr, 16)
    return Event(kind, width=width, addr=place, region="VGA", value=int(value, 16))


def _parse_pci_cfg(body: bytes) -> Event | None:
    """A note: how many bytes were accessed is not told. Where and what is kept beside its text."""
    match = _PCI_CFG.match(body)
    if match is None or (match[1] == b"read") != (match[6] == b"->"):
        return None
    name = f"{match[3].decode() if match[3] is not None else text_of(match[2] + b' ' + match[4])}/config"
    extra = {"text": body}
    return Event(Kind.NOTE, region=name, offset=int(match[5], 16), value=int(match[7], 16), extra=extra)


def _parse_interrupt(match: re.Match[bytes] | None, keyword: bytes) -> Event | None:
    if match is None:
        return None
    found = match.groupdict()
    extra: dict[str, Any] = {name: int(found[name]) for name in ("vector", "level") if found.get(name) is not None}
    if "hex" in found:
        extra["vector"] = int(found["hex"], 16)
    extra["source"] = text_of(found["source"]) if "source" in found else keyword.decode()
    if "pin" in found:
        extra["pin"] = text_of(found["pin"])
    addr, value = (int(found[name], 16) if name in found else None for name in ("addr", "value"))
    return Event(Kind.IRQ, addr=addr, value=value, extra=extra)


_PARSERS: dict[bytes, Callable[[bytes], Event | None]] = {
    **{keyword.rstrip(): _parse_memory for keyword in _KEYWORDS if keyword.startswith(b"memory")},
    b"vfio_region_read": _parse_region_read,
    b"vfio_region_write": _parse_region_write,
    b"vfio_pci_read_config": _parse_config_read,
    b"vfio_pci_write_config": _parse_config_write,
    b"vfio_rom_read": _parse_rom_read,
    b"vfio_vga_read": _parse_vga_read,
    b"vfio_vga_write": _parse_vga_write,
    b"pci_cfg_read": _parse_pci_cfg,
    b"pci_cfg_write": _parse_pci_cfg,
}


#: The first words, behind a stamp, of all lines that may be more than notes.
KEYWORDS = frozenset({*_PARSERS, *_INTERRUPT})


def _unreadable(line: bytes, body: bytes, number: int, ended: bool) -> Event | None:
    """Damage, where a line that is no record once was one or several."""
    begun = [match.start() for match in _BEGINNING.finditer(line)]
    if begun or _FIELDS.search(line):
        reason = "malformed record"
        if not ended:
            reason = "the last line is cut off"
        elif len(begun) > 1:
            reason = "records that run into each other"
        elif begun and begun[0] > len(line) - len(body):
            reason = "a record that something else runs into"
        return damaged(reason, text=line, events=max(1, len(begun)), line=number)
    if not ended and (body != line or line.startswith(_KEYWORDS) or any(word.startswith(line) for word in _KEYWORDS)):
        return damaged("the last line is cut off", text=line, line=number)
    return None
