/*
 * The accesses of a recording, as a program. Made by `mmiotools convert -t c`; what is around the table may be used
 * in any way, without conditions.
 *
 *   cc -O2 -o program program.c     no warnings with -Wall -Wextra -Wpedantic
 *   ./program --print               no hardware is touched: prints the accesses as mmiotrace text
 *   ./program --run                 as root: does them on the PCI device, and tells which reads differ
 *   cc -DMMIO_NO_MAIN ...           only mmio_run(), for an environment of your own: see struct mmio_bus
 *
 * Exit status of --run: 0 if every read was as recorded, 1 if not, 2 if it could not be done.
 */
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdint.h>

/* How accesses are made. `region` is an index into mmio_regions[]. */
struct mmio_bus {
    uint64_t (*read)(void *context, unsigned region, uint64_t offset, unsigned width);
    void (*write)(void *context, unsigned region, uint64_t offset, unsigned width, uint64_t value);
    void (*delay)(void *context, uint64_t nanoseconds);
    /* A read that gave another value than was recorded; `mask` has the bits that were compared. May be NULL. */
    void (*differs)(void *context, unsigned region, uint64_t offset, uint64_t expected, uint64_t got, uint64_t mask);
    void *context;
};

/* Does everything in the table; the number of reads that differed. */
unsigned long mmio_run(const struct mmio_bus *bus);

/* Where the regions were in the recording. PCI devices are looked for by their address, and must have the same ids. */
struct mmio_region {
    const char *name;    /* for people */
    const char *pci;     /* address of the PCI device, NULL if the region is none's */
    unsigned vendor, device;
    int bar;             /* 6 is the ROM */
    uint64_t base;
    unsigned map;        /* index into maps[], from 1; 0 for none */
    const char *pcidev;  /* the device as mmiotrace describes it, NULL if it was described before */
};

extern const struct mmio_region mmio_regions[];

enum {
    READ,  /* read `count` times, at intervals of `every` nanoseconds, and expect `value` */
    ANY,   /* read; the recording does not say what came */
    WRITE, /* write `value` */
    WHILE, /* first half of a wait: `count` reads gave `value` in the recording ... */
    UNTIL, /* ... until the bits that are other in this `value` had changed */
    DELAY, /* the recording has a pause of `value` nanoseconds here */
    END
};

struct mmio_step {
    uint8_t op, width;
    uint32_t region;
    uint64_t offset, value;
    uint32_t count;
    uint64_t every;
};

/* op, bytes, region, offset, value, count, every */
static const struct mmio_step steps[] = {
    /* mark: load crct10dif_common.ko */
    /* mark: load crc64.ko */
    /* mark: load crct10dif-pclmul.ko */
    /* mark: load crct10dif_generic.ko */
    /* mark: load crc-t10dif.ko */
    /* mark: load crc64-rocksoft.ko */
    /* mark: load t10-pi.ko */
    /* mark: load nvme-core.ko */
    /* mark: load nvme.ko */
    /* region 0: 00:03.0/BAR0 at 0xfebf0000 */
    {READ, 4, 0, 0x1c, 0x1, 1, 0}, /* CSTS */
    {DELAY, 0, 0, 0x0, 3504000, 1, 0},
    {READ, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {DELAY, 0, 0, 0x0, 3178000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {DELAY, 0, 0, 0x0, 147000, 1, 0},
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0xef, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0xef, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 936000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {WRITE, 4, 0, 0x201c, 0x1, 1, 0}, /* MSIX_CTRL[1] */
    {WRITE, 4, 0, 0x202c, 0x1, 1, 0}, /* MSIX_CTRL[2] */
    {WRITE, 4, 0, 0x203c, 0x1, 1, 0}, /* MSIX_CTRL[3] */
    {WRITE, 4, 0, 0x204c, 0x1, 1, 0}, /* MSIX_CTRL[4] */
    {WRITE, 4, 0, 0x205c, 0x1, 1, 0}, /* MSIX_CTRL[5] */
    {WRITE, 4, 0, 0x206c, 0x1, 1, 0}, /* MSIX_CTRL[6] */
    {WRITE, 4, 0, 0x207c, 0x1, 1, 0}, /* MSIX_CTRL[7] */
    {WRITE, 4, 0, 0x208c, 0x1, 1, 0}, /* MSIX_CTRL[8] */
    {WRITE, 4, 0, 0x209c, 0x1, 1, 0}, /* MSIX_CTRL[9] */
    {WRITE, 4, 0, 0x20ac, 0x1, 1, 0}, /* MSIX_CTRL[10] */
    {WRITE, 4, 0, 0x20bc, 0x1, 1, 0}, /* MSIX_CTRL[11] */
    {WRITE, 4, 0, 0x20cc, 0x1, 1, 0}, /* MSIX_CTRL[12] */
    {WRITE, 4, 0, 0x20dc, 0x1, 1, 0}, /* MSIX_CTRL[13] */
    {WRITE, 4, 0, 0x20ec, 0x1, 1, 0}, /* MSIX_CTRL[14] */
    {WRITE, 4, 0, 0x20fc, 0x1, 1, 0}, /* MSIX_CTRL[15] */
    {WRITE, 4, 0, 0x210c, 0x1, 1, 0}, /* MSIX_CTRL[16] */
    {WRITE, 4, 0, 0x211c, 0x1, 1, 0}, /* MSIX_CTRL[17] */
    {WRITE, 4, 0, 0x212c, 0x1, 1, 0}, /* MSIX_CTRL[18] */
    {WRITE, 4, 0, 0x213c, 0x1, 1, 0}, /* MSIX_CTRL[19] */
    {WRITE, 4, 0, 0x214c, 0x1, 1, 0}, /* MSIX_CTRL[20] */
    {WRITE, 4, 0, 0x215c, 0x1, 1, 0}, /* MSIX_CTRL[21] */
    {WRITE, 4, 0, 0x216c, 0x1, 1, 0}, /* MSIX_CTRL[22] */
    {WRITE, 4, 0, 0x217c, 0x1, 1, 0}, /* MSIX_CTRL[23] */
    {WRITE, 4, 0, 0x218c, 0x1, 1, 0}, /* MSIX_CTRL[24] */
    {WRITE, 4, 0, 0x219c, 0x1, 1, 0}, /* MSIX_CTRL[25] */
    {WRITE, 4, 0, 0x21ac, 0x1, 1, 0}, /* MSIX_CTRL[26] */
    {WRITE, 4, 0, 0x21bc, 0x1, 1, 0}, /* MSIX_CTRL[27] */
    {WRITE, 4, 0, 0x21cc, 0x1, 1, 0}, /* MSIX_CTRL[28] */
    {WRITE, 4, 0, 0x21dc, 0x1, 1, 0}, /* MSIX_CTRL[29] */
    {WRITE, 4, 0, 0x21ec, 0x1, 1, 0}, /* MSIX_CTRL[30] */
    {WRITE, 4, 0, 0x21fc, 0x1, 1, 0}, /* MSIX_CTRL[31] */
    {WRITE, 4, 0, 0x220c, 0x1, 1, 0}, /* MSIX_CTRL[32] */
    {WRITE, 4, 0, 0x221c, 0x1, 1, 0}, /* MSIX_CTRL[33] */
    {WRITE, 4, 0, 0x222c, 0x1, 1, 0}, /* MSIX_CTRL[34] */
    {WRITE, 4, 0, 0x223c, 0x1, 1, 0}, /* MSIX_CTRL[35] */
    {WRITE, 4, 0, 0x224c, 0x1, 1, 0}, /* MSIX_CTRL[36] */
    {WRITE, 4, 0, 0x225c, 0x1, 1, 0}, /* MSIX_CTRL[37] */
    {WRITE, 4, 0, 0x226c, 0x1, 1, 0}, /* MSIX_CTRL[38] */
    {WRITE, 4, 0, 0x227c, 0x1, 1, 0}, /* MSIX_CTRL[39] */
    {WRITE, 4, 0, 0x228c, 0x1, 1, 0}, /* MSIX_CTRL[40] */
    {WRITE, 4, 0, 0x229c, 0x1, 1, 0}, /* MSIX_CTRL[41] */
    {WRITE, 4, 0, 0x22ac, 0x1, 1, 0}, /* MSIX_CTRL[42] */
    {WRITE, 4, 0, 0x22bc, 0x1, 1, 0}, /* MSIX_CTRL[43] */
    {WRITE, 4, 0, 0x22cc, 0x1, 1, 0}, /* MSIX_CTRL[44] */
    {WRITE, 4, 0, 0x22dc, 0x1, 1, 0}, /* MSIX_CTRL[45] */
    {WRITE, 4, 0, 0x22ec, 0x1, 1, 0}, /* MSIX_CTRL[46] */
    {WRITE, 4, 0, 0x22fc, 0x1, 1, 0}, /* MSIX_CTRL[47] */
    {WRITE, 4, 0, 0x230c, 0x1, 1, 0}, /* MSIX_CTRL[48] */
    {WRITE, 4, 0, 0x231c, 0x1, 1, 0}, /* MSIX_CTRL[49] */
    {WRITE, 4, 0, 0x232c, 0x1, 1, 0}, /* MSIX_CTRL[50] */
    {WRITE, 4, 0, 0x233c, 0x1, 1, 0}, /* MSIX_CTRL[51] */
    {WRITE, 4, 0, 0x234c, 0x1, 1, 0}, /* MSIX_CTRL[52] */
    {WRITE, 4, 0, 0x235c, 0x1, 1, 0}, /* MSIX_CTRL[53] */
    {WRITE, 4, 0, 0x236c, 0x1, 1, 0}, /* MSIX_CTRL[54] */
    {WRITE, 4, 0, 0x237c, 0x1, 1, 0}, /* MSIX_CTRL[55] */
    {WRITE, 4, 0, 0x238c, 0x1, 1, 0}, /* MSIX_CTRL[56] */
    {WRITE, 4, 0, 0x239c, 0x1, 1, 0}, /* MSIX_CTRL[57] */
    {WRITE, 4, 0, 0x23ac, 0x1, 1, 0}, /* MSIX_CTRL[58] */
    {WRITE, 4, 0, 0x23bc, 0x1, 1, 0}, /* MSIX_CTRL[59] */
    {WRITE, 4, 0, 0x23cc, 0x1, 1, 0}, /* MSIX_CTRL[60] */
    {WRITE, 4, 0, 0x23dc, 0x1, 1, 0}, /* MSIX_CTRL[61] */
    {WRITE, 4, 0, 0x23ec, 0x1, 1, 0}, /* MSIX_CTRL[62] */
    {WRITE, 4, 0, 0x23fc, 0x1, 1, 0}, /* MSIX_CTRL[63] */
    {WRITE, 4, 0, 0x240c, 0x1, 1, 0}, /* MSIX_CTRL[64] */
    {DELAY, 0, 0, 0x0, 140000, 1, 0},
    {READ, 4, 0, 0x0, 0xf0107ff, 1, 0}, /* CAP */
    {READ, 4, 0, 0x4, 0x401820, 1, 0}, /* CAP_HIGH */
    {READ, 4, 0, 0x3c, 0x0, 1, 0}, /* CMBSZ */
    {DELAY, 0, 0, 0x0, 404000, 1, 0},
    {READ, 4, 0, 0x8, 0x10400, 1, 0}, /* VS */
    {DELAY, 0, 0, 0x0, 475000, 1, 0},
    {WRITE, 4, 0, 0x14, 0x0, 1, 0}, /* CC */
    {READ, 4, 0, 0x1c, 0x0, 1, 0}, /* CSTS */
    {DELAY, 0, 0, 0x0, 1308000, 1, 0},
    {WRITE, 4, 0, 0x24, 0x1f001f, 1, 0}, /* AQA */
    {DELAY, 0, 0, 0x0, 102000, 1, 0},
    {WRITE, 4, 0, 0x28, 0x5ea3000, 1, 0}, /* ASQ */
    {WRITE, 4, 0, 0x2c, 0x0, 1, 0}, /* ASQ_HIGH */
    {WRITE, 4, 0, 0x30, 0x5ea1000, 1, 0}, /* ACQ */
    {DELAY, 0, 0, 0x0, 213000, 1, 0},
    {WRITE, 4, 0, 0x34, 0x0, 1, 0}, /* ACQ_HIGH */
    {DELAY, 0, 0, 0x0, 123000, 1, 0},
    {READ, 4, 0, 0x0, 0xf0107ff, 1, 0}, /* CAP */
    {READ, 4, 0, 0x4, 0x401820, 1, 0}, /* CAP_HIGH */
    {WRITE, 4, 0, 0x14, 0x460060, 1, 0}, /* CC */
    {READ, 4, 0, 0x14, 0x460060, 1, 0}, /* CC */
    {READ, 4, 0, 0x0, 0xf0107ff, 1, 0}, /* CAP */
    {READ, 4, 0, 0x4, 0x401820, 1, 0}, /* CAP_HIGH */
    {WRITE, 4, 0, 0x14, 0x460061, 1, 0}, /* CC */
    {READ, 4, 0, 0x1c, 0x1, 1, 0}, /* CSTS */
    {DELAY, 0, 0, 0x0, 7691000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x26, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x26, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 142000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x26, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x26, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 121000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x0, 1, 0}, /* MSIX_CTRL[0] */
    {DELAY, 0, 0, 0x0, 4487000, 1, 0},
    {READ, 4, 0, 0x8, 0x10400, 1, 0}, /* VS */
    {DELAY, 0, 0, 0x0, 3248000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x1, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 497000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x1, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 2381000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x2, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 744000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x2, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 2170000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x3, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 162000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x3, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 665000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x4, 1, 0}, /* SQTDBL[0] */
    {WRITE, 4, 0, 0x1004, 0x4, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 461000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x5, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 99000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x5, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 1886000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x6, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 127000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x6, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 460000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {READ, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {DELAY, 0, 0, 0x0, 154000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0x0, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x0, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x0, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 439000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {READ, 4, 0, 0x2000, 0x0, 1, 0}, /* MSIX_ADDR[0] */
    {DELAY, 0, 0, 0x0, 16376000, 1, 0},
    {READ, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {DELAY, 0, 0, 0x0, 341000, 1, 0},
    {READ, 4, 0, 0x201c, 0x1, 1, 0}, /* MSIX_CTRL[1] */
    {DELAY, 0, 0, 0x0, 579000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0xef, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0xef, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 895000, 1, 0},
    {WRITE, 4, 0, 0x2010, 0xfee01004, 1, 0}, /* MSIX_ADDR[1] */
    {WRITE, 4, 0, 0x2014, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[1] */
    {WRITE, 4, 0, 0x2018, 0xef, 1, 0}, /* MSIX_DATA[1] */
    {READ, 4, 0, 0x2018, 0xef, 1, 0}, /* MSIX_DATA[1] */
    {DELAY, 0, 0, 0x0, 380000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {WRITE, 4, 0, 0x201c, 0x1, 1, 0}, /* MSIX_CTRL[1] */
    {WRITE, 4, 0, 0x202c, 0x1, 1, 0}, /* MSIX_CTRL[2] */
    {WRITE, 4, 0, 0x203c, 0x1, 1, 0}, /* MSIX_CTRL[3] */
    {WRITE, 4, 0, 0x204c, 0x1, 1, 0}, /* MSIX_CTRL[4] */
    {WRITE, 4, 0, 0x205c, 0x1, 1, 0}, /* MSIX_CTRL[5] */
    {WRITE, 4, 0, 0x206c, 0x1, 1, 0}, /* MSIX_CTRL[6] */
    {WRITE, 4, 0, 0x207c, 0x1, 1, 0}, /* MSIX_CTRL[7] */
    {WRITE, 4, 0, 0x208c, 0x1, 1, 0}, /* MSIX_CTRL[8] */
    {WRITE, 4, 0, 0x209c, 0x1, 1, 0}, /* MSIX_CTRL[9] */
    {WRITE, 4, 0, 0x20ac, 0x1, 1, 0}, /* MSIX_CTRL[10] */
    {WRITE, 4, 0, 0x20bc, 0x1, 1, 0}, /* MSIX_CTRL[11] */
    {WRITE, 4, 0, 0x20cc, 0x1, 1, 0}, /* MSIX_CTRL[12] */
    {WRITE, 4, 0, 0x20dc, 0x1, 1, 0}, /* MSIX_CTRL[13] */
    {WRITE, 4, 0, 0x20ec, 0x1, 1, 0}, /* MSIX_CTRL[14] */
    {WRITE, 4, 0, 0x20fc, 0x1, 1, 0}, /* MSIX_CTRL[15] */
    {WRITE, 4, 0, 0x210c, 0x1, 1, 0}, /* MSIX_CTRL[16] */
    {WRITE, 4, 0, 0x211c, 0x1, 1, 0}, /* MSIX_CTRL[17] */
    {WRITE, 4, 0, 0x212c, 0x1, 1, 0}, /* MSIX_CTRL[18] */
    {WRITE, 4, 0, 0x213c, 0x1, 1, 0}, /* MSIX_CTRL[19] */
    {WRITE, 4, 0, 0x214c, 0x1, 1, 0}, /* MSIX_CTRL[20] */
    {WRITE, 4, 0, 0x215c, 0x1, 1, 0}, /* MSIX_CTRL[21] */
    {WRITE, 4, 0, 0x216c, 0x1, 1, 0}, /* MSIX_CTRL[22] */
    {WRITE, 4, 0, 0x217c, 0x1, 1, 0}, /* MSIX_CTRL[23] */
    {WRITE, 4, 0, 0x218c, 0x1, 1, 0}, /* MSIX_CTRL[24] */
    {WRITE, 4, 0, 0x219c, 0x1, 1, 0}, /* MSIX_CTRL[25] */
    {WRITE, 4, 0, 0x21ac, 0x1, 1, 0}, /* MSIX_CTRL[26] */
    {WRITE, 4, 0, 0x21bc, 0x1, 1, 0}, /* MSIX_CTRL[27] */
    {WRITE, 4, 0, 0x21cc, 0x1, 1, 0}, /* MSIX_CTRL[28] */
    {WRITE, 4, 0, 0x21dc, 0x1, 1, 0}, /* MSIX_CTRL[29] */
    {WRITE, 4, 0, 0x21ec, 0x1, 1, 0}, /* MSIX_CTRL[30] */
    {WRITE, 4, 0, 0x21fc, 0x1, 1, 0}, /* MSIX_CTRL[31] */
    {WRITE, 4, 0, 0x220c, 0x1, 1, 0}, /* MSIX_CTRL[32] */
    {WRITE, 4, 0, 0x221c, 0x1, 1, 0}, /* MSIX_CTRL[33] */
    {WRITE, 4, 0, 0x222c, 0x1, 1, 0}, /* MSIX_CTRL[34] */
    {WRITE, 4, 0, 0x223c, 0x1, 1, 0}, /* MSIX_CTRL[35] */
    {WRITE, 4, 0, 0x224c, 0x1, 1, 0}, /* MSIX_CTRL[36] */
    {WRITE, 4, 0, 0x225c, 0x1, 1, 0}, /* MSIX_CTRL[37] */
    {WRITE, 4, 0, 0x226c, 0x1, 1, 0}, /* MSIX_CTRL[38] */
    {WRITE, 4, 0, 0x227c, 0x1, 1, 0}, /* MSIX_CTRL[39] */
    {WRITE, 4, 0, 0x228c, 0x1, 1, 0}, /* MSIX_CTRL[40] */
    {WRITE, 4, 0, 0x229c, 0x1, 1, 0}, /* MSIX_CTRL[41] */
    {WRITE, 4, 0, 0x22ac, 0x1, 1, 0}, /* MSIX_CTRL[42] */
    {WRITE, 4, 0, 0x22bc, 0x1, 1, 0}, /* MSIX_CTRL[43] */
    {WRITE, 4, 0, 0x22cc, 0x1, 1, 0}, /* MSIX_CTRL[44] */
    {WRITE, 4, 0, 0x22dc, 0x1, 1, 0}, /* MSIX_CTRL[45] */
    {WRITE, 4, 0, 0x22ec, 0x1, 1, 0}, /* MSIX_CTRL[46] */
    {WRITE, 4, 0, 0x22fc, 0x1, 1, 0}, /* MSIX_CTRL[47] */
    {WRITE, 4, 0, 0x230c, 0x1, 1, 0}, /* MSIX_CTRL[48] */
    {WRITE, 4, 0, 0x231c, 0x1, 1, 0}, /* MSIX_CTRL[49] */
    {WRITE, 4, 0, 0x232c, 0x1, 1, 0}, /* MSIX_CTRL[50] */
    {WRITE, 4, 0, 0x233c, 0x1, 1, 0}, /* MSIX_CTRL[51] */
    {WRITE, 4, 0, 0x234c, 0x1, 1, 0}, /* MSIX_CTRL[52] */
    {WRITE, 4, 0, 0x235c, 0x1, 1, 0}, /* MSIX_CTRL[53] */
    {WRITE, 4, 0, 0x236c, 0x1, 1, 0}, /* MSIX_CTRL[54] */
    {WRITE, 4, 0, 0x237c, 0x1, 1, 0}, /* MSIX_CTRL[55] */
    {WRITE, 4, 0, 0x238c, 0x1, 1, 0}, /* MSIX_CTRL[56] */
    {WRITE, 4, 0, 0x239c, 0x1, 1, 0}, /* MSIX_CTRL[57] */
    {WRITE, 4, 0, 0x23ac, 0x1, 1, 0}, /* MSIX_CTRL[58] */
    {WRITE, 4, 0, 0x23bc, 0x1, 1, 0}, /* MSIX_CTRL[59] */
    {WRITE, 4, 0, 0x23cc, 0x1, 1, 0}, /* MSIX_CTRL[60] */
    {WRITE, 4, 0, 0x23dc, 0x1, 1, 0}, /* MSIX_CTRL[61] */
    {WRITE, 4, 0, 0x23ec, 0x1, 1, 0}, /* MSIX_CTRL[62] */
    {WRITE, 4, 0, 0x23fc, 0x1, 1, 0}, /* MSIX_CTRL[63] */
    {WRITE, 4, 0, 0x240c, 0x1, 1, 0}, /* MSIX_CTRL[64] */
    {DELAY, 0, 0, 0x0, 628000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x27, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x27, 1, 0}, /* MSIX_DATA[0] */
    {WRITE, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x27, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x27, 1, 0}, /* MSIX_DATA[0] */
    {WRITE, 4, 0, 0x200c, 0x0, 1, 0}, /* MSIX_CTRL[0] */
    {DELAY, 0, 0, 0x0, 913000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x7, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 375000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x7, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 239000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x8, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 268000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x8, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 457000, 1, 0},
    {WRITE, 4, 0, 0x2010, 0xfee01004, 1, 0}, /* MSIX_ADDR[1] */
    {WRITE, 4, 0, 0x2014, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[1] */
    {WRITE, 4, 0, 0x2018, 0x26, 1, 0}, /* MSIX_DATA[1] */
    {READ, 4, 0, 0x2018, 0x26, 1, 0}, /* MSIX_DATA[1] */
    {WRITE, 4, 0, 0x2010, 0xfee01004, 1, 0}, /* MSIX_ADDR[1] */
    {WRITE, 4, 0, 0x2014, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[1] */
    {WRITE, 4, 0, 0x2018, 0x26, 1, 0}, /* MSIX_DATA[1] */
    {READ, 4, 0, 0x2018, 0x26, 1, 0}, /* MSIX_DATA[1] */
    {WRITE, 4, 0, 0x201c, 0x0, 1, 0}, /* MSIX_CTRL[1] */
    {DELAY, 0, 0, 0x0, 1341000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x9, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 106000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x9, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 414000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xa, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 1366000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0xa, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 597000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xb, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 384000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xc, 1, 0}, /* SQTDBL[0] */
    {WRITE, 4, 0, 0x1004, 0xb, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 421000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xd, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 110000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0xc, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 246000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xe, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 938000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0xd, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 455000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0xf, 1, 0}, /* SQTDBL[0] */
    {WRITE, 4, 0, 0x1004, 0xe, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 3869000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x10, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 430000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0xf, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 617000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x11, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 112000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x10, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 12617000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x1, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 1571000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x1, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 8407000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x2, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 410000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x2, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 823000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x3, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 296000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x3, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 2024215000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x4, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 1036000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x4, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 2443000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x5, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 1999000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x6, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 1160000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x7, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 140000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x7, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 8789000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x8, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 283000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x8, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 1186000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0x9, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 272000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0x9, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 984000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0xa, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 202000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0xa, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 713000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0xb, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 131000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0xb, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 799000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0xc, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 133000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0xc, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 13167000, 1, 0},
    {WRITE, 4, 0, 0x1008, 0xd, 1, 0}, /* SQTDBL[1] */
    {DELAY, 0, 0, 0x0, 1740000, 1, 0},
    {WRITE, 4, 0, 0x100c, 0xd, 1, 0}, /* CQHDBL[1] */
    {DELAY, 0, 0, 0x0, 1043057000, 1, 0},
    {READ, 4, 0, 0x1c, 0x1, 1, 0}, /* CSTS */
    {DELAY, 0, 0, 0x0, 904000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x12, 1, 0}, /* SQTDBL[0] */
    {DELAY, 0, 0, 0x0, 574000, 1, 0},
    {WRITE, 4, 0, 0x1004, 0x11, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 568000, 1, 0},
    {WRITE, 4, 0, 0x1000, 0x13, 1, 0}, /* SQTDBL[0] */
    {WRITE, 4, 0, 0x1004, 0x12, 1, 0}, /* CQHDBL[0] */
    {DELAY, 0, 0, 0x0, 1554000, 1, 0},
    {WRITE, 4, 0, 0x14, 0x464061, 1, 0}, /* CC */
    {DELAY, 0, 0, 0x0, 157000, 1, 0},
    {READ, 4, 0, 0x1c, 0x9, 1, 0}, /* CSTS */
    {DELAY, 0, 0, 0x0, 676000, 1, 0},
    {WRITE, 4, 0, 0x201c, 0x1, 1, 0}, /* MSIX_CTRL[1] */
    {READ, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2010, 0x0, 1, 0}, /* MSIX_ADDR[1] */
    {WRITE, 4, 0, 0x2014, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[1] */
    {WRITE, 4, 0, 0x2018, 0x0, 1, 0}, /* MSIX_DATA[1] */
    {READ, 4, 0, 0x2018, 0x0, 1, 0}, /* MSIX_DATA[1] */
    {DELAY, 0, 0, 0x0, 10449000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {READ, 4, 0, 0x2000, 0xfee01004, 1, 0}, /* MSIX_ADDR[0] */
    {DELAY, 0, 0, 0x0, 99000, 1, 0},
    {WRITE, 4, 0, 0x2000, 0x0, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x2004, 0x0, 1, 0}, /* MSIX_ADDR_HIGH[0] */
    {WRITE, 4, 0, 0x2008, 0x0, 1, 0}, /* MSIX_DATA[0] */
    {READ, 4, 0, 0x2008, 0x0, 1, 0}, /* MSIX_DATA[0] */
    {DELAY, 0, 0, 0x0, 563000, 1, 0},
    {WRITE, 4, 0, 0x200c, 0x1, 1, 0}, /* MSIX_CTRL[0] */
    {READ, 4, 0, 0x2000, 0x0, 1, 0}, /* MSIX_ADDR[0] */
    {WRITE, 4, 0, 0x201c, 0x1, 1, 0}, /* MSIX_CTRL[1] */
    {READ, 4, 0, 0x2000, 0x0, 1, 0}, /* MSIX_ADDR[0] */
    /* mark: done */
    {END, 0, 0, 0x0, 0x0, 0, 0}
};

const struct mmio_region mmio_regions[] = {
    {"00:03.0/BAR0", "0000:00:03.0", 0x1b36, 0x10, 0, 0xfebf0000, 1, "PCIDEV 0018 1b360010 b febf0004 0 0 0 0 0 0 4000 0 0 0 0 0 0 "},
    {NULL, NULL, 0, 0, 0, 0x0, 0, NULL}
};

static uint64_t mask_of(unsigned width)
{
    return width < 8 ? ((uint64_t)1 << 8 * width) - 1 : ~(uint64_t)0;
}

static unsigned long check(const struct mmio_bus *bus, const struct mmio_step *step, uint64_t got, uint64_t mask)
{
    if (((got ^ step->value) & mask) == 0)
        return 0;
    if (bus->differs != NULL)
        bus->differs(bus->context, step->region, step->offset, step->value, got, mask);
    return 1;
}

/* `step` is a WHILE, and an UNTIL follows it. A device that never gets there is given up after a while. */
static unsigned long wait_until(const struct mmio_bus *bus, const struct mmio_step *step)
{
    uint64_t mask = step[0].value ^ step[1].value, got = 0;
    unsigned long left = step->count * 100UL + (step->every != 0 ? 1000UL : 1000000UL);

    while (left-- > 0) {
        got = bus->read(bus->context, step->region, step->offset, step->width);
        if (((got ^ step[1].value) & mask) == 0)
            return 0;
        if (step->every != 0)
            bus->delay(bus->context, step->every);
    }
    return check(bus, step + 1, got, mask);
}

unsigned long mmio_run(const struct mmio_bus *bus)
{
    const struct mmio_step *step;
    unsigned long differing = 0;
    uint32_t i;

    for (step = steps; step->op != END; step++) {
        switch (step->op) {
        case READ:
            for (i = 0; i < step->count; i++) {
                if (i > 0 && step->every != 0)
                    bus->delay(bus->context, step->every);
                differing += check(bus, step, bus->read(bus->context, step->region, step->offset, step->width),
                                   mask_of(step->width));
            }
            break;
        case ANY:
            (void)bus->read(bus->context, step->region, step->offset, step->width);
            break;
        case WRITE:
            bus->write(bus->context, step->region, step->offset, step->width, step->value);
            break;
        case WHILE:
            differing += wait_until(bus, step);
            break;
        case DELAY:
            bus->delay(bus->context, step->value);
            break;
        default: /* UNTIL, which its WHILE has done */
            break;
        }
    }
    return differing;
}

#ifndef MMIO_NO_MAIN
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { REGIONS = sizeof mmio_regions / sizeof mmio_regions[0] - 1 };
static const unsigned region_count = REGIONS;

/* -- --print ------------------------------------------------------------------------------------------------- */

/* What was mapped in the recording: physical address, bytes. */
static const uint64_t maps[][2] = {
    {0xfebf0000, 0x2000},
    {0xfebf2000, 0x410},
    {0x0, 0x0}
};

static const uint32_t map_count = (uint32_t)(sizeof maps / sizeof maps[0]) - 1;

static uint64_t now = 3236502000; /* nanoseconds, when the recording began */

static void print_access(char op, const struct mmio_step *step, uint64_t value)
{
    printf("%c %u %" PRIu64 ".%06" PRIu64 " %u 0x%" PRIx64 " 0x%" PRIx64 " 0x0 0\n", op, step->width,
           now / 1000000000, now / 1000 % 1000000, mmio_regions[step->region].map,
           mmio_regions[step->region].base + step->offset, value);
    now += 1000;
}

static int print_all(void)
{
    const struct mmio_step *step;
    unsigned region;
    uint32_t i;

    puts("VERSION 20070824");
    for (region = 0; region < region_count; region++)
        if (mmio_regions[region].pcidev != NULL)
            puts(mmio_regions[region].pcidev);
    for (i = 0; i < map_count; i++)
        printf("MAP %" PRIu64 ".%06" PRIu64 " %" PRIu32 " 0x%" PRIx64 " 0x0 0x%" PRIx64 " 0x0 0\n", now / 1000000000,
               now / 1000 % 1000000, i + 1, maps[i][0], maps[i][1]);
    for (step = steps; step->op != END; step++) {
        if (step->op == DELAY) {
            now += step->value;
            continue;
        }
        for (i = 0; i < step->count && step->op != ANY; i++) {
            if (i > 0 || step->op == UNTIL)
                now += step->op == UNTIL ? step[-1].every : step->every;
            print_access(step->op == WRITE ? 'W' : 'R', step, step->value);
        }
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 2;
}

/* -- --run --------------------------------------------------------------------------------------------------- */

struct hardware {
    volatile unsigned char *mapped[REGIONS + 1];
    int delays;
};

static uint64_t hardware_read(void *context, unsigned region, uint64_t offset, unsigned width)
{
    volatile unsigned char *at = ((struct hardware *)context)->mapped[region] + offset;

    switch (width) {
    case 1:
        return *at;
    case 2:
        return *(volatile uint16_t *)(volatile void *)at;
    case 4:
        return *(volatile uint32_t *)(volatile void *)at;
    default:
        return *(volatile uint64_t *)(volatile void *)at;
    }
}

static void hardware_write(void *context, unsigned region, uint64_t offset, unsigned width, uint64_t value)
{
    volatile unsigned char *at = ((struct hardware *)context)->mapped[region] + offset;

    switch (width) {
    case 1:
        *at = (unsigned char)value;
        break;
    case 2:
        *(volatile uint16_t *)(volatile void *)at = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)(volatile void *)at = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)(volatile void *)at = value;
        break;
    }
}

static void hardware_delay(void *context, uint64_t nanoseconds)
{
    struct timespec left;

    left.tv_sec = (time_t)(nanoseconds / 1000000000);
    left.tv_nsec = (long)(nanoseconds % 1000000000);
    if (((struct hardware *)context)->delays)
        while (nanosleep(&left, &left) != 0 && errno == EINTR)
            continue;
}

static void tell(void *context, unsigned region, uint64_t offset, uint64_t expected, uint64_t got, uint64_t mask)
{
    (void)context;
    printf("%s+0x%" PRIx64 ": 0x%" PRIx64 ", recorded 0x%" PRIx64 " (mask 0x%" PRIx64 ")\n",
           mmio_regions[region].name, offset, got, expected, mask);
}

static int has_id(const char *pci, const char *which, unsigned expected)
{
    char path[128];
    unsigned found = 0;
    FILE *file;
    int ok;

    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", pci, which);
    file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 0;
    }
    ok = fscanf(file, "%x", &found) == 1 && found == expected;
    fclose(file);
    if (!ok)
        fprintf(stderr, "%s: %04x, recorded %04x\n", path, found, expected);
    return ok;
}

/* The end of the last access in a region. */
static uint64_t reach(unsigned region)
{
    const struct mmio_step *step;
    uint64_t end = 0;

    for (step = steps; step->op != END; step++)
        if (step->op != DELAY && step->region == region && step->offset + step->width > end)
            end = step->offset + step->width;
    return end;
}

static volatile unsigned char *map_region(unsigned number, const char *moved)
{
    const struct mmio_region *region = &mmio_regions[number];
    const char *pci = moved != NULL && region->pci != NULL ? moved : region->pci;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = 0, length = reach(number);
    char path[128] = "/dev/mem";
    void *mapped;
    int file;

    if (pci != NULL) {
        if (!has_id(pci, "vendor", region->vendor) || !has_id(pci, "device", region->device))
            return NULL;
        if (region->bar == 6)
            snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/rom", pci);
        else
            snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/resource%d", pci, region->bar);
    } else {
        start = region->base % page;
    }
    file = open(path, O_RDWR | O_SYNC);
    if (file < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    mapped = mmap(NULL, (size_t)(start + length), PROT_READ | PROT_WRITE, MAP_SHARED, file,
                  pci != NULL ? 0 : (off_t)(region->base - start));
    close(file);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "%s: cannot map %s: %s\n", path, region->name, strerror(errno));
        return NULL;
    }
    return (volatile unsigned char *)mapped + start;
}

static int run_all(const char *moved, int delays)
{
    static struct hardware hardware;
    struct mmio_bus bus = {hardware_read, hardware_write, hardware_delay, tell, &hardware};
    unsigned region;
    unsigned long differing;

    hardware.delays = delays;
    for (region = 0; region < region_count; region++) {
        if (reach(region) == 0)
            continue;
        hardware.mapped[region] = map_region(region, moved);
        if (hardware.mapped[region] == NULL)
            return 2;
    }
    differing = mmio_run(&bus);
    printf("%lu reads differ\n", differing);
    return differing != 0;
}

int main(int argc, char **argv)
{
    const char *moved = NULL;
    int delays = 1, run = 0, print = 0, i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--print") == 0)
            print = 1;
        else if (strcmp(argv[i], "--run") == 0)
            run = 1;
        else if (strcmp(argv[i], "--no-delays") == 0)
            delays = 0;
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            moved = argv[++i];
        else
            print = run = 1;
    }
    if (print == run) {
        fprintf(stderr, "usage: %s --print | --run [--no-delays] [--device 0000:00:00.0]\n", argv[0]);
        return 2;
    }
    return print ? print_all() : run_all(moved, delays);
}
#endif
