"""What QEMU's trace events say about accesses, whichever back end wrote them: regions and their spaces."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Event
from mmiotools.trace.batch import Batch, Column, Regions, columnise
from mmiotools.typed import Callable

#: Ports of a PC, and of every other machine that QEMU gives an I/O space, lie below.
PORTS = 1 << 16
#: Regions whose name says that they are memory, wherever they lie.
_MEMORY = re.compile(r"flash|rom\b|ram\b|mem\b|mmio")
_PCI = re.compile(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
#: No machine has near as many regions. Accesses to further ones keep their name in their spelling alone.
MOST_REGIONS = 1 << 15


def space_of(name: str, address: int) -> str:
    """ "port" or "mem" for a named region with an access at that address. QEMU's events do not tell them apart: low
    addresses are taken for ports, unless the region's name says memory.
    """
    return "port" if address < PORTS and _MEMORY.search(name) is None else "mem"


def region_name(device: str, number: int) -> str:
    """How a vfio device's region is called: DEVICE/BAR0 … BAR5, ROM, region7 and up."""
    return f"{short(device)}/{f'BAR{number}' if number < 6 else 'ROM' if number == 6 else f'region{number}'}"


def short(device: str) -> str:
    """A device's name: that of a PCI device in domain 0 without its domain, as other formats call it."""
    return device[5:] if device.startswith("0000:") and _PCI.fullmatch(device[5:]) else device


def full(device: str) -> str:
    """What `short` was given."""
    return f"0000:{device}" if _PCI.fullmatch(device) else device


def text_of(name: bytes) -> str:
    """A name as text; what is not UTF-8 in it is escaped."""
    return name.decode("utf-8", "backslashreplace")


def region_code(event: Event, regions: Regions) -> int | None:
    """The code of an event's region, entered with its space; None when it has none or the table is full."""
    name = event.region
    if name is None:
        return None
    if event.addr is not None:
        space = space_of(name, event.addr)
    else:
        space = "config" if name.endswith("/config") else "mem"
    return code_of(name, space, regions)


def code_of(name: str, space: str, regions: Regions) -> int | None:
    """The code of a region, or None when it is new and the table is full."""
    if len(regions.names) >= MOST_REGIONS and (name, space) not in regions:
        return None
    return regions.code(name, space)


def single_events(events: list[Event], regions: Regions, spell: Callable[[Event], bytes | None]) -> Batch:
    """Single events as a batch, their regions entered with their spaces. Where the table of regions is full an event
    has no region, and `spell` gives its spelling.
    """
    codes = [region_code(event, regions) for event in events]
    for row, event in enumerate(events):
        if event.region is not None and codes[row] is None:
            raw = event.extra.get("raw") or spell(event) or b""
            events[row] = event._replace(region=None, extra={**event.extra, "raw": raw})
    batch = columnise(events, regions)
    if "region" in batch.columns:
        data = np.array([code or 0 for code in codes], np.uint32)
        batch.columns["region"] = Column(data, batch.columns["region"].present)
    return batch
