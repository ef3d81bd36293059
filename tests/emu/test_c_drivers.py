"""Drivers in C: the kernel's functions, interrupts, memory for DMA, versions; and how drivers die."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from emu_helpers import BAR0, BAR0_SIZE, RamCard, accesses, compile_c, needs_gcc, run_object, run_probe, told

from mmiotools.emu import load_driver
from mmiotools.engine.setup import Setup
from mmiotools.errors import UsageError
from mmiotools.events import Kind

pytestmark = needs_gcc

MAP = "void *base = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));\n"


def probe(body: str) -> str:
    """A driver of one function."""
    return f"int mmio_driver_probe(struct pci_dev *pdev)\n{{\n(void)pdev;\n{body}\n}}\n"


def test_accesses_of_every_width(tmp_path: Path) -> None:
    body = (
        MAP
        + """
    writeb(0x12, base); writew(0x3456, base + 2); writel(0x789abcde, base + 4); writeq(0x1122334455667788, base + 8);
    return readb(base) + readw(base + 2) + readl(base + 4) + (int)readq(base + 8);
    """
    )
    outcome, events = run_object(compile_c(tmp_path, probe(body)))
    values = [(1, 0, 0x12), (2, 2, 0x3456), (4, 4, 0x789ABCDE), (8, 8, 0x1122334455667788)]
    assert accesses(events) == [("W", *v) for v in values] + [("R", *v) for v in values]
    total = sum(v for _, _, v in values) & 0xFFFFFFFF
    assert outcome.returned == total - (total >> 31 << 32)


def test_what_the_pci_calls_give(tmp_path: Path) -> None:
    body = """
    u8 b; u16 w; u32 d;
    if (pci_enable_device(pdev) || pci_request_regions(pdev, "me")) return 1;
    pci_set_master(pdev);
    if (pci_request_regions(pdev, "again") != -EBUSY) return 2;
    pci_read_config_byte(pdev, 1, &b); pci_read_config_word(pdev, 2, &w); pci_read_config_dword(pdev, 4, &d);
    printk("%x %x %x %llx %llx %llx\\n", b, w, d, pci_resource_start(pdev, 0) + 0ull,
           pci_resource_len(pdev, 0) + 0ull, pci_resource_len(pdev, 5) + 0ull);
    pci_write_config_dword(pdev, 0x40, 0xcafef00d); pci_write_config_word(pdev, 0x44, 0xbeef);
    pci_write_config_byte(pdev, 0x46, 0x77);
    pci_set_drvdata(pdev, &b);
    if (pci_get_drvdata(pdev) != &b) return 3;
    pci_set_drvdata(pdev, NULL);
    if (pci_get_drvdata(pdev)) return 4;
    udelay(5); mdelay(2); msleep(1000); ndelay(3000);
    trace_printk("mark %d", -1);
    pci_release_regions(pdev); pci_disable_device(pdev); pci_disable_device(pdev);
    return -ENODEV;
    """
    card = RamCard()
    path = compile_c(tmp_path, probe(body))
    outcome, events = run_probe(load_driver(path).versions["1"], card)
    assert (outcome.error, outcome.returned) == (None, -19)
    given = f"1 302 7060504 {BAR0:x} {BAR0_SIZE:x} 0"
    assert outcome.log == [given, f"{card.pci.address}: disabling already-disabled device"]
    assert card.config[0x40:0x47].hex() == "0df0fecaefbe77"
    mark = next(e for e in events if e.kind == Kind.MARK)
    assert mark.extra["text"] == b"mark -1"
    assert mark.time is not None and mark.time > 1_000_000_000 + 1_002_008_000 - 1000


def test_copies_and_fills(tmp_path: Path) -> None:
    body = (
        MAP
        + """
    char text[16], other[16];
    memset_io(base + 0x10, 0xaa, 3);
    memcpy_toio(base + 1, "abcdefg", 7);
    memcpy_fromio(text, base + 1, 7);
    memmove(text + 2, text, 7);
    memcpy(other, text, 9);
    memmove(other, other + 1, 8);
    text[9] = other[8] = 0;
    printk("%s %s %d\\n", text, other, (int)strlen(text));
    return (memcmp(text, other, 9) > 0) + 2 * (memcmp(text, text, 9) == 0) + 4 * (memcmp("a", "b", 1) < 0);
    """
    )
    outcome, events = run_object(compile_c(tmp_path, probe(body)))
    abc = [(4, 1, 0x64636261), (1, 5, 0x65), (1, 6, 0x66), (1, 7, 0x67)]
    fills = [("W", 1, 0x10 + n, 0xAA) for n in range(3)]
    assert accesses(events) == fills + [("W", *a) for a in abc] + [("R", *a) for a in abc]
    assert outcome.log == ["ababcdefg babcdefg 9"]
    assert outcome.returned == (b"ababcdefg" > b"babcdefg\0") + 6


def test_read_modify_write_is_two_accesses_with_values(tmp_path: Path) -> None:
    body = (
        MAP
        + """
    volatile u32 *at = base, *across = base + 0xffe;
    *at = 5; *at |= 0x100; *across += 1;
    return 0;
    """
    )
    _, events = run_object(compile_c(tmp_path, probe(body)))
    told = [("W", 4, 0, 5), ("R", 4, 0, 5), ("W", 4, 0, 0x105), ("R", 4, 0xFFE, 0), ("W", 4, 0xFFE, 1)]
    assert accesses(events) == told


SLOPPY = """
static volatile int count;
static void *base;
static irqreturn_t handler(int irq, void *data)
{
    count += irq == 16 && data == &count;
    writel(0, base + 0xf000);
    return IRQ_HANDLED;
}
"""


@pytest.mark.parametrize("engine", ["emulate", "step"])
def test_interrupts_come_between_instructions(tmp_path: Path, engine: str) -> None:
    body = """
    int i, sum = 0;
    base = ioremap(pci_resource_start(pdev, 0), 0x10000);
    if (request_irq(99, handler, 0, "me", (void *)&count) != -EINVAL) return -1;
    if (request_irq(pci_irq_vector(pdev, 0), handler, 0, "me", (void *)&count)) return -2;
    for (i = 0; i < 10; i++) {
        writel(1, base + 0xf000);
        sum += i;
    }
    free_irq(16, (void *)&count);
    writel(1, base + 0xf000);
    return 1000 * count + sum;
    """
    outcome, events = run_object(compile_c(tmp_path, SLOPPY + probe(body)), setup=Setup(engine=engine))
    assert (outcome.error, outcome.returned) == (None, 10045)
    assert [a[3] for a in accesses(events)] == [1, 0] * 10 + [1]


def test_an_interrupt_waits_while_the_driver_has_them_off(tmp_path: Path) -> None:
    body = """
    int before;
    base = ioremap(pci_resource_start(pdev, 0), 0x10000);
    request_irq(16, handler, 0, "me", (void *)&count);
    __asm__ volatile("cli");
    writel(1, base + 0xf000);
    readl(base);
    before = count;
    __asm__ volatile("sti");
    readl(base);
    return 10 * before + count;
    """
    outcome, _ = run_object(compile_c(tmp_path, SLOPPY + probe(body)))
    assert outcome.returned == 1


def test_memory_for_dma(tmp_path: Path) -> None:
    body = """
    dma_addr_t bus, none;
    u32 *ring = dma_alloc(pdev, 8192, &bus);
    if (!ring || dma_alloc(pdev, 0, &none) || none) return -ENOMEM;
    ring[0] = 0x11; ring[2047] = 0x22; ring[0] += ring[2047];
    printk("%llx %x %x", bus + 0ull, ring[0], ring[1]);
    dma_free(pdev, ring);
    return 0;
    """
    outcome, events = run_object(compile_c(tmp_path, probe(body), "-O0"))
    assert (outcome.error, outcome.log) == (None, ["1000000 33 0"])
    assert accesses(events) == []


def test_versions_and_names(tmp_path: Path) -> None:
    source = """
    MMIO_DRIVER("mine", "A driver.", "some-card");
    int mmio_driver_probe_1(struct pci_dev *pdev) { (void)pdev; return 1; }
    int mmio_driver_probe_2(struct pci_dev *pdev) { (void)pdev; return 2; }
    """
    path = compile_c(tmp_path, source)
    driver = load_driver(path)
    assert (driver.name, driver.title, driver.device) == ("mine", "A driver.", "some-card")
    assert list(driver.versions) == ["1", "2"]
    assert run_object(path, "2")[0].returned == 2
    driver = load_driver(compile_c(tmp_path, probe("return 0;"), name="quiet"))
    assert (driver.name, driver.device) == ("quiet", "")


def test_a_run_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    driver = load_driver(compile_c(tmp_path, "static volatile int runs;" + probe("return ++runs;")))
    assert [run_probe(driver.versions["1"])[0].returned for _ in range(2)] == [1, 1]


def test_zeroed_and_common_memory_and_pointers_to_functions(tmp_path: Path) -> None:
    source = """
    int shared[3000]; static int held[3000]; long weak_one __attribute__((weak));
    extern int missing(void) __attribute__((weak));
    static int one(void) { return 1; }
    static int (*const table[])(void) = { one, missing };
    """
    body = """
    shared[2999] = 5; held[0] = 6;
    return shared[2999] + held[0] + shared[7] + table[0]() + !table[1] + weak_one;
    """
    for flag in ("-fcommon", "-fno-common"):
        assert run_object(compile_c(tmp_path, source + probe(body), flag))[0].returned == 13


def test_a_stack_protector_finds_its_canary(tmp_path: Path) -> None:
    body = 'char text[64]; printk("%s", __builtin_memset(text, 0, sizeof text) ? "whole" : ""); return text[5];'
    outcome, _ = run_object(compile_c(tmp_path, probe(body), "-fstack-protector-all", "-O0"))
    assert (outcome.error, outcome.log) == (None, ["whole"])
    body = "volatile char text[8]; for (volatile int i = 0; i < 24; i++) text[i] = 1; return text[5];"
    outcome, _ = run_object(compile_c(tmp_path, probe(body), "-fstack-protector-all", "-O0"))
    assert "__stack_chk_fail() the stack was overwritten" in told(outcome)


# -- drivers that die -----------------------------------------------------------------------------------------

DATA_AS_CODE = "static int data[4]; int (*volatile f)(void) = (void *)data; return 1 + f();"
MASKED = '__asm__ volatile("pcmpeqd %%xmm1, %%xmm1; maskmovdqu %%xmm1, %%xmm0" : : "D"(base)); return 0;'

#: What a driver does, and what is said of it.
DEATHS = {
    "a null pointer": ("return *(volatile int *)(long)(pci_resource_len(pdev, 5) + 8);", "read at 0x8, .* not mapped"),
    "past a mapping": (MAP + "return readl(base + 0x10000);", "read at .*, which is not mapped"),
    "after iounmap": (MAP + "iounmap(base); writel(0, base); return 0;", "write at .*, which is not mapped"),
    "the device's structure": ("return *(volatile int *)pdev;", "read at 0xffff8880f0000000, which is not mapped"),
    "a constant": ('*(volatile char *)"text" = 1; return 0;', "write at 0x.*, which is not writable"),
    "a function that is none": ("return 1 + ((int (*)(void))0x1234)();", "jumped to 0x1234, which is no code"),
    "a null function": ("int (*volatile f)(void) = 0; return 1 + f();", "jumped to 0x0, which is no code"),
    "data as code": (DATA_AS_CODE, "jumped to 0xffffffffa000.000, which is no code"),
    "an illegal instruction": ('__asm__ volatile("ud2"); return 0;', "illegal instruction"),
    "a breakpoint": ('__asm__ volatile("int3"); return 0;', "exception"),
    "a division by zero": ("volatile int zero = 0; return 7 / zero;", "exception"),
    "hlt": ('__asm__ volatile("hlt"); return 0;', "halted the CPU"),
    "a port": ('__asm__ volatile("inb %%dx, %%al" : : "d"(0x60)); return 0;', "access to port 0x60"),
    "another device": (
        "pci_set_master((void *)0x10); return 0;",
        r"pci_set_master\(\) was given 0x10, which is no device",
    ),
    "text that is none": ('printk("%s", (char *)0x10); return 0;', r"printk\(\) was given text at 0x10"),
    "a masked store": (MAP + MASKED, "maskmovdqu.*cannot be carried out"),
    "no memory of its own": (
        MAP + "memcpy(base + 0xfff0, base, 17); return 0;",
        "memcpy: write at .*, which is not mapped",
    ),
}


@pytest.mark.parametrize("what", DEATHS)
def test_how_drivers_die(tmp_path: Path, what: str) -> None:
    body, message = DEATHS[what]
    flags = ("-Wno-array-bounds", "-Wno-nonnull", "-Wno-discarded-qualifiers")
    line = told(run_object(compile_c(tmp_path, probe(body), *flags))[0])
    assert re.search(message, line), line
    assert re.match(r"(driver\.c|mmiotools\.h):\d+: mmio_driver_probe\+0x[0-9a-f]+: ", line), line


def test_a_death_names_file_line_function_and_register(tmp_path: Path) -> None:
    source = "static __attribute__((noinline)) void poke(void *at)\n{\n\n*(volatile int *)(at + 4) = 0;\n}\n"
    path = compile_c(tmp_path, source + probe(MAP + "poke(base); iounmap(base); poke(base); return 0;"))
    place, what = r"driver\.c:5: poke\+0x[0-9a-f]+", "write at 0xffff[0-9a-f]+4, which is not mapped"
    assert re.match(rf"{place}: {what}\Z", told(run_object(path)[0]))


def test_without_debugging_information_the_function_is_named(tmp_path: Path) -> None:
    path = compile_c(tmp_path, probe("return *(volatile int *)8;"), "-g0", "-Wno-array-bounds")
    assert re.match(r".*driver\.o: mmio_driver_probe\+0x[0-9a-f]+: read at 0x8", told(run_object(path)[0]))


def test_the_trace_up_to_the_death_is_kept(tmp_path: Path) -> None:
    outcome, events = run_object(compile_c(tmp_path, probe(MAP + "writel(7, base); return readl(base + 0x20000);")))
    assert outcome.error is not None
    assert accesses(events) == [("W", 4, 0, 7)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('for (;;)\n__asm__ volatile("");', "ran 1 million instructions in a row"),
        ('for (;;)\nprintk("again");', "again and again"),
    ],
)
def test_loops_end(tmp_path: Path, body: str, message: str) -> None:
    from mmiotools.emu.driver import ObjectDriver

    driver = ObjectDriver(compile_c(tmp_path, probe(body)), slices=1, calls=100)
    assert message in told(run_probe(driver.versions["1"])[0])


def test_a_loop_of_accesses_ends_at_the_limit(tmp_path: Path) -> None:
    outcome, events = run_object(compile_c(tmp_path, probe(MAP + "for (;;) readl(base);")), limit=50)
    assert "made 50 accesses" in told(outcome)
    assert len(accesses(events)) == 50


def test_endless_recursion_fills_the_stack(tmp_path: Path) -> None:
    source = "int dive(volatile int *at) { volatile int here = *at + 1; return dive(&here) + here; }\n"
    outcome, _ = run_object(
        compile_c(tmp_path, source + probe("int n = 0; return dive(&n);"), "-Wno-infinite-recursion")
    )
    assert re.search(r"dive\+0x[0-9a-f]+: write at 0xffffc8fffffe[bc]", told(outcome))


# -- objects that are not loaded ------------------------------------------------------------------------------


def test_unknown_functions_are_named_before_anything_runs(tmp_path: Path) -> None:
    source = "void *kmalloc(size_t, int); void schedule(void);" + probe("schedule(); return kmalloc(1, 2) != 0;")
    path = compile_c(tmp_path, source)
    with pytest.raises(
        UsageError, match=r"driver\.o: uses what the emulated kernel does not have: kmalloc, schedule\Z"
    ):
        load_driver(path)


def test_position_independent_code_is_told_what_to_do(tmp_path: Path) -> None:
    source = "extern int printk_level; int printk_level;" + probe("printk_level++; return (long)&printk;")
    path = compile_c(tmp_path, source, "-fPIC", "-mcmodel=small")
    with pytest.raises(UsageError, match=r"relocation of type .*; compile the driver with -mcmodel=kernel -fno-pic"):
        load_driver(path)


def test_an_object_without_a_probe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="defines no function mmio_driver_probe"):
        load_driver(compile_c(tmp_path, "int other(void) { return 0; }"))


def test_another_architecture(tmp_path: Path) -> None:
    path = compile_c(tmp_path, probe("return 0;"))
    held = bytearray(Path(path).read_bytes())
    held[18] = 0xB7  # e_machine: AArch64
    Path(path).write_bytes(held)
    with pytest.raises(UsageError, match="is not for x86-64"):
        load_driver(path)
