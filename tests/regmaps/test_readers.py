"""The readers of register maps: what each makes of a file, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmiotools.errors import FormatError, MmioToolsError, UsageError
from mmiotools.regmaps import READERS, load_maps, read_maps
from mmiotools.trace.regmap import RegisterMap

HEADER = """\
#ifndef CARD_H
/* a block
   of comment */
#define REG_CTRL 0x00   // control
#define   REG_CTRL_EN BIT(0)
#define   REG_CTRL_MODE_MASK GENMASK(5, 4)
#define   REG_CTRL_MODE_SLOW (0u << 4)
#define   REG_CTRL_MODE_FAST (2u << 4)
#define   REG_CTRL_LEN_SHIFT 8
#define   REG_CTRL_LEN_MASK 0xff
#define REG_BASE 0x100UL
#define REG_DATA(n) (REG_BASE + 0x10 + (n) * 4)
#define REG_LIMIT (REG_BASE + \\
                   0x80)
#define CARD_STATUS 0x00200
#define CARD_STATUS_EXT 0x00204
#define CARD_STATUS_UP 0x00000001
#define TIMEOUT 500
#define PREPARE(x) ((x) << 3)
"""
SVD = """\
<?xml version="1.0" encoding="utf-8"?>
<device schemaVersion="1.3"><name>CHIP</name><size>32</size><peripherals>
 <peripheral><name>UART0</name><description>A  port</description><baseAddress>0x40000000</baseAddress><registers>
  <register><name>CR</name><addressOffset>0</addressOffset><fields>
   <field><name>EN</name><bitOffset>0</bitOffset><bitWidth>1</bitWidth></field>
   <field><name>MODE</name><bitRange>[3:2]</bitRange><enumeratedValues>
    <enumeratedValue><name>fast</name><value>0b10</value></enumeratedValue></enumeratedValues></field>
   <field><name>IRQ%s</name><dim>2</dim><dimIncrement>1</dimIncrement><lsb>8</lsb><msb>8</msb></field>
  </fields></register>
  <register derivedFrom="CR"><name>CR2</name><addressOffset>4</addressOffset></register>
  <register><name>D[%s]</name><dim>4</dim><dimIncrement>4</dimIncrement><addressOffset>0x10</addressOffset></register>
  <register><name>E%s</name><dim>2</dim><dimIncrement>4</dimIncrement><dimIndex>A-B</dimIndex>
   <addressOffset>0x30</addressOffset><size>16</size></register>
  <cluster><name>CH[%s]</name><dim>2</dim><dimIncrement>16</dimIncrement><addressOffset>0x100</addressOffset>
   <register><name>SRC</name><addressOffset>4</addressOffset></register></cluster>
 </registers></peripheral>
 <peripheral derivedFrom="UART0"><name>UART1</name><baseAddress>0x40001000</baseAddress></peripheral>
</peripherals></device>
"""
RNNDB = """\
<database xmlns="http://nouveau.freedesktop.org/">
<enum name="speed"><value value="0" name="SLOW"/><value value="1" name="FAST"/></enum>
<bitset name="intr"><bitfield pos="0" name="VBLANK"/><bitfield low="4" high="5" name="RATE" type="speed"/></bitset>
<domain name="MMIO" size="0x1000000">
 <array name="PMC" offset="0" stride="0x1000" length="1">
  <reg32 offset="0" name="ID"/><reg32 offset="0x100" name="INTR" type="intr"/></array>
 <array name="HEAD" offset="0x600000" stride="0x2000" length="2">
  <reg32 offset="0x100" name="INTR"><bitfield pos="0" name="V"/></reg32>
  <stripe offset="0x800" stride="8" length="2"><reg32 offset="0" name="A"/></stripe>
  <reg8 offset="0x13d4" name="IDX" variants="NV4-"/></array>
 <reg32 offset="0x9000" name="T" length="4" stride="8"/>
</domain>
<domain name="OTHER" width="32"><reg32 offset="4" name="X"/></domain>
</database>
"""
TABLE = "offset name width\n# comment\n0x0 CTRL 4 what it does\n0x8,STATUS,2\n0x10\tMTA[4]\n64 X // ten\n"
TOML = """\
title = "A lamp"
ids = ["1234:B11C"]
width = 2
[registers]
ID = 0
PERIOD = { offset = 4, width = 4, fields = { US = "15-0", ON = 31 } }
[registers.COUNT]
offset = 8
count = 4
[registers.COUNT.fields]
MODE = { bits = "1-0", values = { 0 = "off", 0x1 = "on" } }
"""


def write(folder: Path, name: str, text: str) -> str:
    """A file to read."""
    path = folder / name
    path.write_text(text)
    return str(path)


def shape(regmap: RegisterMap) -> list[tuple[object, ...]]:
    """Offset, name, width, and count and stride of arrays."""
    return [(r.offset, r.name, r.width, *((r.count, r.stride) if r.count > 1 else ())) for r in regmap.registers]


def bits(regmap: RegisterMap, name: str) -> dict[str, tuple[int, int, dict[int, str]]]:
    """The fields of a register."""
    (register,) = (r for r in regmap.registers if r.name == name)
    return {f.name: (f.high, f.low, dict(f.values)) for f in register.fields}


def test_header(tmp_path):
    (regmap,) = read_maps(write(tmp_path, "card.h", HEADER))
    assert shape(regmap) == [
        (0x00, "REG_CTRL", 4),
        (0x100, "REG_BASE", 4),
        (0x110, "REG_DATA", 4, 28, 4),
        (0x180, "REG_LIMIT", 4),
        (0x200, "CARD_STATUS", 4),
        (0x204, "CARD_STATUS_EXT", 4),
    ]
    assert bits(regmap, "REG_CTRL") == {
        "EN": (0, 0, {}),
        "MODE": (5, 4, {0: "SLOW", 2: "FAST"}),
        "LEN": (15, 8, {}),
    }
    assert bits(regmap, "CARD_STATUS") == {"UP": (0, 0, {})}


def test_svd(tmp_path):
    first, second = read_maps(write(tmp_path, "chip.svd", SVD))
    assert shape(first) == [
        (0x0, "UART0.CR", 4),
        (0x4, "UART0.CR2", 4),
        (0x10, "UART0.D[]", 4, 4, 4),
        (0x30, "UART0.EA", 2),
        (0x34, "UART0.EB", 2),
        (0x104, "UART0.CH[0].SRC", 4),
        (0x114, "UART0.CH[1].SRC", 4),
    ]
    expected = {"EN": (0, 0, {}), "MODE": (3, 2, {2: "fast"}), "IRQ0": (8, 8, {}), "IRQ1": (9, 9, {})}
    assert bits(first, "UART0.CR") == bits(first, "UART0.CR2") == expected
    assert (first.name, first.title, str(first.binding)) == ("UART0", "A port", "0x40000000+0x118")
    assert str(second.binding) == "0x40001000+0x118" and second.registers[0].name == "UART1.CR"


def test_rnndb(tmp_path):
    told: list[str] = []
    path = write(tmp_path, "nv.xml", RNNDB)
    (regmap,) = read_maps(path, told.append)
    assert shape(regmap) == [
        (0x0, "PMC.ID", 4),
        (0x100, "PMC.INTR", 4),
        (0x600100, "HEAD[].INTR", 4, 2, 0x2000),
        (0x600800, "HEAD[].0.A", 4, 2, 0x2000),
        (0x600808, "HEAD[].1.A", 4, 2, 0x2000),
        (0x6013D4, "HEAD[].IDX", 1, 2, 0x2000),
        (0x9000, "T", 4, 4, 8),
    ]
    assert bits(regmap, "PMC.INTR") == {"VBLANK": (0, 0, {}), "RATE": (5, 4, {0: "SLOW", 1: "FAST"})}
    assert len(told) == 2 and "OTHER" in told[0] and "1 variants" in told[1]
    (other,) = read_maps(f"{path}#OTHER")
    assert shape(other) == [(16, "X", 4)]
    with pytest.raises(FormatError, match="MMIO, OTHER"):
        read_maps(f"{path}#NONE")


def test_rnndb_imports_stay_in_their_folder(tmp_path):
    write(tmp_path, "types.xml", '<database><enum name="e"><value value="1" name="on"/></enum></database>')
    text = '<database><import file="{}"/><domain name="D"><reg32 offset="0" name="R" type="e"/></domain></database>'
    (regmap,) = read_maps(write(tmp_path, "a.xml", text.format("types.xml")))
    assert bits(regmap, "R") == {"VALUE": (31, 0, {1: "on"})}
    for outside in ("../secret.xml", "/etc/passwd"):
        with pytest.raises(FormatError, match=r"a\.xml:1: .*outside"):
            read_maps(write(tmp_path, "a.xml", text.format(outside)))
    told: list[str] = []
    read_maps(write(tmp_path, "a.xml", text.format("a.xml")), told.append)
    read_maps(write(tmp_path, "a.xml", text.format("gone.xml")), told.append)
    assert len(told) == 1 and "not there" in told[0]


def test_table(tmp_path):
    (regmap,) = read_maps(write(tmp_path, "regs.txt", TABLE))
    assert shape(regmap) == [(0, "CTRL", 4), (8, "STATUS", 2), (16, "MTA", 4, 4, 4), (64, "X", 4)]
    assert regmap.registers[0].title == "what it does" and regmap.registers[3].title == ""


def test_toml(tmp_path):
    (regmap,) = read_maps(write(tmp_path, "lamp.toml", TOML))
    assert shape(regmap) == [(0, "ID", 2), (4, "PERIOD", 4), (8, "COUNT", 2, 4, 2)]
    assert bits(regmap, "COUNT") == {"MODE": (1, 0, {0: "off", 1: "on"})}
    assert regmap.title == "A lamp" and regmap.binding.ids == ("1234:b11c",)


@pytest.mark.parametrize(
    ("text", "reader"), [(HEADER, "header"), (SVD, "svd"), (RNNDB, "rnndb"), (TABLE, "table"), (TOML, "toml")]
)
def test_the_content_decides_whatever_the_suffix(tmp_path, text, reader):
    assert read_maps(write(tmp_path, "some.thing", text))
    assert next(name for name in READERS.builtin_names() if READERS.get(name).recognises(text)) == reader


BOMB = '<?xml version="1.0"?>\n<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n<device>&b;</device>'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bomb.svd", BOMB, r"bomb\.svd:2: document types and entities are refused"),
        ("out.xml", '<!DOCTYPE d SYSTEM "file:///etc/passwd"><database/>', r":1: document types"),
        ("deep.svd", "<device>" + "<a>" * 100, r":1: elements nested over"),
        ("cut.svd", "<device>\n<peripherals>", r":2: is not valid XML"),
        ("none.svd", "<device><peripherals/></device>", "holds no registers"),
        ("empty.toml", " \n", "is empty"),
        ("what.bin", "hello\n", "is no register map that is known"),
        ("dup.toml", "[registers]\nA = 1\nA = 2\n", r":\d+: is not valid TOML"),
        ("key.toml", "[registers]\nA = { offset = 1, wide = 2 }\n", r":2: register 'A': unknown key 'wide'"),
        ("none.toml", "[registers]\n", "holds no registers"),
        ("bits.toml", '[registers]\nA = { offset = 1, fields = { X = "40-1" } }\n', r":2: .*has bits 40-1, of 32"),
        ("bits.toml", '[registers]\nA = { offset = 1, fields = { X = "1-4" } }\n', r":2: .*has bits 1-4"),
        (
            "nest.toml",
            "[registers]\nA = { offset = 1, fields = { X = { bits = 1, values = "
            "{ 0 = " + 300 * "[" + 300 * "]" + "}}}}",
            "a number for a word, not '0' for list",
        ),
        ("many.toml", "[registers]\nA = { offset = 0, count = 4000000000 }\n", "1048576 are the most"),
        ("wide.toml", "[registers]\nA = { offset = 0, width = 4096 }\n", "a width of 4096 bytes"),
        ("high.toml", "[registers]\nA = 0x7fffffffffffffff\nB = -1\n", "outside of 64 bits"),
        ("ids.toml", 'ids = ["x"]\n[registers]\nA = 1\n', "no pair like 8086:100e"),
        ("name.toml", '[registers]\n"A B" = 1\n', "is no name for a register"),
        ("line.txt", "0x0 A\nbad line\n", r":2: a line must be"),
        ("only.h", "#define A 12\n", "holds no registers"),
        (
            "loop.svd",
            "<device><peripherals><peripheral derivedFrom='A'><name>A</name><baseAddress>0</baseAddress>"
            "</peripheral></peripherals></device>",
            "is derived from itself",
        ),
        (
            "many.svd",
            "<device><peripherals><peripheral><name>A</name><dim>100000</dim><dimIncrement>1</dimIncrement>"
            "<baseAddress>0</baseAddress><registers><register><name>R</name><addressOffset>0</addressOffset></register>"
            "</registers></peripheral></peripherals></device>",
            "4096 are the most",
        ),
        (
            "nest.xml",
            "<database><domain name='D'>"
            + "".join(f"<array name='A{n}' offset='0' stride='4' length='4000'>" for n in range(8))
            + "<reg32 offset='0' name='R'/>"
            + "</array>" * 8
            + "</domain></database>",
            "too many registers",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    with pytest.raises(FormatError, match=message) as caught:
        read_maps(path)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


def test_hostile_headers_end_soon(tmp_path):
    lines = ["#define A0 0x1"] + [f"#define A{n} (A{n - 1} << 1 | {'(' * 50}A{n - 1}{')' * 50})" for n in range(1, 200)]
    lines += [
        "/*" * 100_000,
        f"#define A{'_' * 100_000} 0x2",
        "#define F(x) F(F(F(x))) + 0x10",
        "#define Z 0x" + "f" * 10_000,
    ]
    (regmap,) = read_maps(write(tmp_path, "a.h", "\n".join(lines)))
    assert [r.name for r in regmap.registers] == ["A0"]


@pytest.mark.parametrize(
    "word", ["/nonexistent/x.h", "nothing", "e1000@", "e1000@BAR9", "e1000@8086", ".", "/dev/null", "e1000@0x"]
)
def test_words_that_name_nothing(word):
    with pytest.raises(MmioToolsError):
        load_maps(word)


def test_only_databases_have_domains(tmp_path):
    with pytest.raises(UsageError, match="only rnndb"):
        read_maps(write(tmp_path, "regs.txt", TABLE) + "#X")
