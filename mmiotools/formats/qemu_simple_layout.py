"""The bytes of QEMU's binary traces: file header, records, and the arguments of the events that are known."""

from __future__ import annotations

import struct

import construct

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats.qemu_events import region_name, short, text_of
from mmiotools.typed import Any, NamedTuple

MAGIC = 0xF2B177CB0AA429B4
#: The number that stands for "no event" where an event's number would be: file headers have it.
HEADER = (1 << 64) - 1
#: The event of records that QEMU could not keep.
DROPPED = (1 << 64) - 2
VERSION = 4
#: Types of records.
MAPPING, EVENT = 0, 1

FILE_HEADERS = {
    order: construct.Struct(
        "id" / construct.Const(HEADER, number), "magic" / construct.Const(MAGIC, number), "version" / number
    )
    for order, number in (("<", construct.Int64ul), (">", construct.Int64ub))
}
FILE_HEADER_SIZE = 24
#: Bytes of a record's type, and of what every event has behind it: number, time, length, pid.
TYPE_SIZE, HEAD_SIZE = 8, 24
#: QEMU keeps records in a ring of this size; no record is longer.
LONGEST = 1 << 18
#: No event's name is near as long.
LONGEST_NAME = 1 << 10
#: Strings are cut to this by QEMU.
LONGEST_STRING = 512


def byte_order(head: bytes) -> str | None:
    """ "<" or ">" for the beginning of a file, None if it is no such file."""
    for order, layout in FILE_HEADERS.items():
        if head.startswith(layout.build({"version": 0})[:16]):
            return order
    return None


def version_of(head: bytes, order: str) -> int:
    """The version that a file's beginning says. Raises FormatError when it is cut."""
    try:
        return int(FILE_HEADERS[order].parse(head[:FILE_HEADER_SIZE])["version"])
    except construct.ConstructError as error:
        raise FormatError("the file header is cut off") from error


class Structs(NamedTuple):
    """The numbers of one byte order.

    step  type, number and length of an event's record
    head  number, time, length and pid behind the type
    """

    word: struct.Struct
    short: struct.Struct
    step: struct.Struct
    head: struct.Struct


STRUCTS = {order: Structs(*(struct.Struct(order + layout) for layout in ("Q", "I", "QQ8xI", "QQII"))) for order in "<>"}

_MEMORY = ("cpu", "mr", "addr", "value", "width")
_SUBPAGE = ("cpu", "mr", "offset", "value", "width")
_IRQ = ("vector", "level")
#: Arguments by event, a tuple for each version of it; those that end in "$" are strings.
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    **{f"memory_region_ops_{op}": (_MEMORY, (*_MEMORY, "region$")) for op in ("read", "write")},
    **{f"memory_region_subpage_{op}": (_SUBPAGE,) for op in ("read", "write")},
    **{f"memory_region_ram_device_{op}": (_MEMORY,) for op in ("read", "write")},
    "vfio_region_read": (("device$", "index", "offset", "width", "value"),),
    "vfio_region_write": (("device$", "index", "offset", "value", "width"),),
    "vfio_pci_read_config": (("device$", "offset", "width", "value"),),
    "vfio_pci_write_config": (("device$", "offset", "value", "width"),),
    "vfio_rom_read": (("device$", "offset", "width", "value"),),
    "vfio_vga_read": (("addr", "width", "value"),),
    "vfio_vga_write": (("addr", "value", "width"),),
    **{
        f"pci_cfg_{op}": (
            ("device$", "bus", "slot", "function", "offset", "value"),
            ("device$", "slot", "function", "offset", "value"),
        )
        for op in ("read", "write")
    },
    "vfio_intx_interrupt": (("source$", "pin"),),
    "vfio_msi_interrupt": (("source$", "vector", "addr", "value"),),
    "pic_set_irq": (("master", "vector", "level"),),
    "pic_interrupt": (("irq", "vector"),),
    "apic_deliver_irq": (
        ("dest", "dest_mode", "delivery_mode", "vector", "trigger_mode"),
        ("dest", "dest_mode", "delivery_mode", "vector", "polarity", "trigger_mode"),
    ),
    "gic_set_irq": (("vector", "level", "cpumask", "target"),),
    **dict.fromkeys(
        (
            "x86_gsi_interrupt",
            "x86_pic_interrupt",
            "ioapic_set_irq",
            "gicv3_dist_set_irq",
            "nvic_set_irq_level",
            "aspeed_vic_set_irq",
            "bcm2835_ic_set_gpu_irq",
            "bcm2835_ic_set_cpu_irq",
            "loongarch_pch_pic_irq_handler",
        ),
        (_IRQ,),
    ),
    **dict.fromkeys(("e1000e_irq_legacy_notify", "usb_xhci_irq_intx", "virtio_mmio_setting_irq"), (("level",),)),
    **dict.fromkeys(
        ("e1000e_irq_msix_notify_vec", "pci_nvme_irq_msix", "usb_xhci_irq_msi", "usb_xhci_irq_msix"), (("vector",),)
    ),
}


def arguments(name: str, payload: bytes, order: str) -> dict[str, Any] | None:
    """The arguments of a known event, strings as bytes; None when the event is not known, or the payload is not made
    of its arguments.
    """
    structs = STRUCTS[order]
    for layout in LAYOUTS.get(name, ()):
        found: dict[str, Any] = {}
        at = 0
        try:
            for argument in layout:
                if argument.endswith("$"):
                    (size,) = structs.short.unpack_from(payload, at)
                    at += 4 + size
                    if size > LONGEST_STRING or at > len(payload):
                        break
                    found[argument[:-1]] = payload[at - size : at]
                else:
                    (found[argument],) = structs.word.unpack_from(payload, at)
                    at += 8
        except struct.error:
            continue
        if at == len(payload) and len(found) == len(layout):
            return found
    return None


def signed(number: int) -> int:
    """A 64-bit number as QEMU's C `int`s are stored: with their sign."""
    return number - (1 << 64) if number >> 63 else number


def decode(name: str, payload: bytes, order: str) -> Event | None:
    """The event of a known one's payload, without time and pid; None when it is not known or does not fit."""
    found = arguments(name, payload, order)
    if found is None:
        return None
    if found.get("width", 0) > 255 or not -(1 << 31) <= signed(found.get("cpu", 0)) < 1 << 31:
        return None
    if name.startswith("pci_cfg_"):
        return _configuration(name, found)
    if "width" not in found:
        return _interrupt(name, found)
    kind = Kind.READ if "read" in name else Kind.WRITE
    region = None
    if "region" in found:
        region = text_of(found["region"])
    elif "index" in found:
        region = region_name(text_of(found["device"]), found["index"])
    elif "device" in found:
        region = f"{short(text_of(found['device']))}/{'ROM' if name == 'vfio_rom_read' else 'config'}"
    elif name.startswith("vfio_vga"):
        region = "VGA"
    fields = {field: found[field] for field in ("width", "addr", "offset", "value") if field in found}
    cpu = signed(found["cpu"]) if "cpu" in found else None
    return Event(kind, region=region, cpu=cpu, extra={"mr": found["mr"]} if "mr" in found else {}, **fields)


def _interrupt(name: str, found: dict[str, Any]) -> Event:
    extra: dict[str, Any] = {"source": name}
    for argument, value in found.items():
        if argument == "source":
            extra["source"] = text_of(value)
        elif argument == "pin":
            extra["pin"] = text_of(bytes([value & 0xFF]))
        elif argument not in ("addr", "value"):
            extra[argument] = signed(value)
    return Event(Kind.IRQ, addr=found.get("addr"), value=found.get("value"), extra=extra)


def _configuration(name: str, found: dict[str, Any]) -> Event:
    """A note, since the width is not told; its text is what QEMU's log says."""
    device = text_of(found["device"])
    if "bus" in found:
        where = f"{found['bus']:02x}:{found['slot']:02x}.{found['function']:x}"
        region = where
    else:
        where = f"{found['slot']:02d}:{found['function']}"
        region = f"{device} {where}"
    arrow = "->" if name.endswith("read") else "<-"
    text = f"{name} {device} {where} @{found['offset']:#x} {arrow} {found['value']:#x}"
    return Event(
        Kind.NOTE,
        region=f"{region}/config",
        offset=found["offset"],
        value=found["value"],
        extra={"text": text.encode("utf-8", "backslashreplace")},
    )
