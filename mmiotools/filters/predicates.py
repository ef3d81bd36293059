"""What the filter language can say, as data: `list predicates`, the man page and the tests derive from it."""

from __future__ import annotations

from mmiotools.typed import NamedTuple


class Predicate(NamedTuple):
    """One thing that an expression can ask. Every example is a whole expression."""

    name: str
    title: str
    examples: tuple[str, ...]


PREDICATES = (
    Predicate("all", "Every event; an empty expression says the same.", ("all",)),
    Predicate("access", "READ, WRITE and UNKNOWN events.", ("access", "not access")),
    Predicate("read", "READ events.", ("read", "read and offset == 0x8")),
    Predicate("write", "WRITE events.", ("write", "write and offset in 0x100-0x1ff")),
    Predicate("unknown", "Accesses whose instruction was not decoded.", ("unknown",)),
    Predicate("map", "MAP events; before a comparison, the field.", ("map", "map or unmap")),
    Predicate("unmap", "UNMAP events.", ("unmap",)),
    Predicate("mark", "MARK events; before a comparison, the field.", ("mark",)),
    Predicate("lost", "LOST events.", ("lost",)),
    Predicate("note", "NOTE events: comments, unknown lines, damage.", ("note",)),
    Predicate("irq", "IRQ events.", ("irq",)),
    Predicate("device", "DEVICE events.", ("device",)),
    Predicate("header", "HEADER events.", ("header",)),
    Predicate("op", "Operation: read/R, write/W, unknown/U.", ("op == R", "op in {read, write}", "op != unknown")),
    Predicate("kind", "Kind of event, by its name.", ("kind == LOST", "kind in {map, unmap}")),
    Predicate("width", "Width of the access in bytes.", ("width == 1", "not (read and width == 1)", "width in {1, 2}")),
    Predicate(
        "addr",
        "Absolute address, or REGION+OFFSET.",
        (
            "addr == 0xfebc0008 and value & 0x80000000 != 0",
            "addr in 0xfebc0000+128k",
            "addr == BAR0+0x100",
            "addr in 01:00.0/BAR0+0x100-0x1ff",
            "addr in BAR0",
        ),
    ),
    Predicate(
        "reg",
        "Register by name, with --regs; any byte of it.",
        ("reg == TDT", "reg in {RDT, TDT}", "reg == RAL[3]", "reg ~ '^PORTSC'"),
    ),
    Predicate(
        "NAME.FIELD",
        "With --regs, value of a field of a register, as a number or by its name.",
        ("CTRL.RST == 1", "CSTS.SHST != 0", "write and RAH[3].AV == 1"),
    ),
    Predicate("offset", "Offset in the region.", ("offset < 0x100", "offset in {0x0, 0x8, 0x100-0x1ff}")),
    Predicate(
        "region",
        "Region by name, with or without its device.",
        ("region == BAR0", "region == 00:03.0/BAR0", "region in {BAR0, map2}", "region ~ '^00:03'"),
    ),
    Predicate(
        "bar", "BAR by number or name; ROM is one.", ("bar == 0", "bar == BAR2", "bar in {0, 2-3}", "bar != ROM")
    ),
    Predicate("map ID", "Id of the mapping that the access used.", ("map == 3", "map == -1", "map in 1-4")),
    Predicate("value", "Value read or written.", ("value == 0xffffffff", "value > 0xff", "value in 0x10+16")),
    Predicate(
        "value & MASK",
        "Some bits of a number; any field but time.",
        ("value & 0x80000000 != 0", "value & 0xff00 == 0x1200", "addr & 0xfff == 0x8"),
    ),
    Predicate(
        "time", "Time on the trace's clock.", ("time < 4.5", "time in 4.07-4.10", "time >= 10ms", "time in 4+3us")
    ),
    Predicate("pc", "Program counter of the access.", ("pc == 0xffffffffa0123456", "pc != 0")),
    Predicate("pid", "Process that made the access.", ("pid == 1234",)),
    Predicate("cpu", "Processor that made the access.", ("cpu == 0", "cpu in 0-3")),
    Predicate("mark TEXT", "Text of a MARK.", ("mark ~ 'load .*ko'", "mark !~ 'load'", "mark == 'begin test'")),
)

#: Sections of prose for the manual: heading and text.
LANGUAGE = (
    (
        "Conditions",
        "A condition is a bare word, or FIELD OP VALUE with == != < <= > >=, or FIELD in RANGE, or FIELD in {a, b-c}, "
        "or FIELD & MASK OP VALUE, or FIELD ~ 'REGEX' and FIELD !~ 'REGEX'. Conditions are joined by 'and', 'or' and "
        "'not' (also && || !) and by parentheses; 'not' binds closest, then 'and', then 'or'. The words map and mark "
        "are fields where a comparison follows, and kinds of event elsewhere. An empty expression selects everything.",
    ),
    (
        "Absent fields",
        "A comparison on a field that the event lacks is false, whatever the operator: 'value != 1' asks for a value "
        "that is known and is not 1, while 'not (value == 1)' is also true of an event without a value.",
    ),
    (
        "Numbers",
        "Numbers are decimal, hexadecimal (0x) or binary (0b), may have _ between digits and end in k, M or G (powers "
        "of 1024), and may be negative. They may have any size: 'addr < 0x10000000000000000' is true of every address. "
        "Times are seconds, or have s, ms, us or ns behind, are exact, and count on the trace's own clock.",
    ),
    (
        "Ranges and sets",
        "A-B includes both ends. A+LEN begins at A and has LEN members, so it ends before A+LEN. A set holds "
        "values and ranges. A range that is empty is an error.",
    ),
    (
        "Regions",
        "An access lies in a BAR of a PCI device, by its address; else in the map whose id it names, as map2; else in "
        "the region that the recording named. BAR0 means BAR0 of any device, 00:03.0/BAR0 that of one. "
        "REGION+OFFSET in place of an address compares region and offset; names with other characters are quoted.",
    ),
    (
        "Registers",
        "With --regs, the name of a register stands wherever an address does: 'addr == CTRL', 'addr in {CTRL, "
        "RDBAL-RDT}', and 'addr == CTRL+2' for a byte in it. The name alone selects the accesses to any byte of the "
        "register, as 'reg == CTRL' does. Before a comparison, a mask or a set it is the value: 'CTRL == 0x40', 'CTRL "
        "& 1 != 0', of accesses that begin where the register does; NAME.FIELD is the value of a field: 'CTRL.RST == "
        "1', of accesses that hold the field whole, and names of values may stand for numbers: 'CSTS.SHST == "
        "complete'. NAME[3] is one of an array, NAME any of it. A name that is also a word of this language is "
        "written 'reg == map'.",
    ),
    (
        "Texts",
        "Texts stand in single or double quotes. In texts that are compared, \\\\ \\' \\\" \\n \\t \\r and \\xHH are "
        "understood. Regular expressions are Python's, over bytes, match anywhere (anchor with ^ and $), are taken as "
        "they stand between the quotes, have at most 1,000 bytes, see the first 64 KiB of a text, and may not repeat "
        "a group that repeats something itself, which could take for ever.",
    ),
)
