#!/usr/bin/env python3
"""The accesses of a recording, as a program. Made by `mmiotools convert -t python`; what is around the table may be
used in any way, without conditions.

    python3 program.py --print                  no hardware is touched: prints the accesses as mmiotrace text
    python3 program.py --run                    as root: does them on the PCI device, and tells which reads differ
    mmiotools record program.py --card CARD     runs them as a driver on an emulated card
    mmiotools replay TRACE --driver program.py  holds them against a recording

Exit status of --run: 0 if every read was as recorded, 1 if not, 2 if it could not be done.
"""

import argparse
import ctypes
import mmap
import sys
import time
from collections import namedtuple

# op, bytes, region, offset, value, count, every:
#   READ   read `count` times, at intervals of `every` nanoseconds, and expect `value`
#   ANY    read; the recording does not say what came
#   WRITE  write `value`
#   WHILE  first half of a wait: `count` reads gave `value` in the recording ...
#   UNTIL  ... until the bits that are other in this `value` had changed
#   DELAY  the recording has a pause of that many nanoseconds here
STEPS = """\
# mark: load crct10dif_common.ko
# mark: load crc64.ko
# mark: load crct10dif-pclmul.ko
# mark: load crct10dif_generic.ko
# mark: load crc-t10dif.ko
# mark: load crc64-rocksoft.ko
# mark: load t10-pi.ko
# mark: load nvme-core.ko
# mark: load nvme.ko
# region 0: 00:03.0/BAR0 at 0xfebf0000
READ 4 0 0x1c 0x1 1 0 # CSTS
DELAY 3504000
READ 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
DELAY 3178000
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
DELAY 147000
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0xef 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0xef 1 0 # MSIX_DATA[0]
DELAY 936000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
WRITE 4 0 0x201c 0x1 1 0 # MSIX_CTRL[1]
WRITE 4 0 0x202c 0x1 1 0 # MSIX_CTRL[2]
WRITE 4 0 0x203c 0x1 1 0 # MSIX_CTRL[3]
WRITE 4 0 0x204c 0x1 1 0 # MSIX_CTRL[4]
WRITE 4 0 0x205c 0x1 1 0 # MSIX_CTRL[5]
WRITE 4 0 0x206c 0x1 1 0 # MSIX_CTRL[6]
WRITE 4 0 0x207c 0x1 1 0 # MSIX_CTRL[7]
WRITE 4 0 0x208c 0x1 1 0 # MSIX_CTRL[8]
WRITE 4 0 0x209c 0x1 1 0 # MSIX_CTRL[9]
WRITE 4 0 0x20ac 0x1 1 0 # MSIX_CTRL[10]
WRITE 4 0 0x20bc 0x1 1 0 # MSIX_CTRL[11]
WRITE 4 0 0x20cc 0x1 1 0 # MSIX_CTRL[12]
WRITE 4 0 0x20dc 0x1 1 0 # MSIX_CTRL[13]
WRITE 4 0 0x20ec 0x1 1 0 # MSIX_CTRL[14]
WRITE 4 0 0x20fc 0x1 1 0 # MSIX_CTRL[15]
WRITE 4 0 0x210c 0x1 1 0 # MSIX_CTRL[16]
WRITE 4 0 0x211c 0x1 1 0 # MSIX_CTRL[17]
WRITE 4 0 0x212c 0x1 1 0 # MSIX_CTRL[18]
WRITE 4 0 0x213c 0x1 1 0 # MSIX_CTRL[19]
WRITE 4 0 0x214c 0x1 1 0 # MSIX_CTRL[20]
WRITE 4 0 0x215c 0x1 1 0 # MSIX_CTRL[21]
WRITE 4 0 0x216c 0x1 1 0 # MSIX_CTRL[22]
WRITE 4 0 0x217c 0x1 1 0 # MSIX_CTRL[23]
WRITE 4 0 0x218c 0x1 1 0 # MSIX_CTRL[24]
WRITE 4 0 0x219c 0x1 1 0 # MSIX_CTRL[25]
WRITE 4 0 0x21ac 0x1 1 0 # MSIX_CTRL[26]
WRITE 4 0 0x21bc 0x1 1 0 # MSIX_CTRL[27]
WRITE 4 0 0x21cc 0x1 1 0 # MSIX_CTRL[28]
WRITE 4 0 0x21dc 0x1 1 0 # MSIX_CTRL[29]
WRITE 4 0 0x21ec 0x1 1 0 # MSIX_CTRL[30]
WRITE 4 0 0x21fc 0x1 1 0 # MSIX_CTRL[31]
WRITE 4 0 0x220c 0x1 1 0 # MSIX_CTRL[32]
WRITE 4 0 0x221c 0x1 1 0 # MSIX_CTRL[33]
WRITE 4 0 0x222c 0x1 1 0 # MSIX_CTRL[34]
WRITE 4 0 0x223c 0x1 1 0 # MSIX_CTRL[35]
WRITE 4 0 0x224c 0x1 1 0 # MSIX_CTRL[36]
WRITE 4 0 0x225c 0x1 1 0 # MSIX_CTRL[37]
WRITE 4 0 0x226c 0x1 1 0 # MSIX_CTRL[38]
WRITE 4 0 0x227c 0x1 1 0 # MSIX_CTRL[39]
WRITE 4 0 0x228c 0x1 1 0 # MSIX_CTRL[40]
WRITE 4 0 0x229c 0x1 1 0 # MSIX_CTRL[41]
WRITE 4 0 0x22ac 0x1 1 0 # MSIX_CTRL[42]
WRITE 4 0 0x22bc 0x1 1 0 # MSIX_CTRL[43]
WRITE 4 0 0x22cc 0x1 1 0 # MSIX_CTRL[44]
WRITE 4 0 0x22dc 0x1 1 0 # MSIX_CTRL[45]
WRITE 4 0 0x22ec 0x1 1 0 # MSIX_CTRL[46]
WRITE 4 0 0x22fc 0x1 1 0 # MSIX_CTRL[47]
WRITE 4 0 0x230c 0x1 1 0 # MSIX_CTRL[48]
WRITE 4 0 0x231c 0x1 1 0 # MSIX_CTRL[49]
WRITE 4 0 0x232c 0x1 1 0 # MSIX_CTRL[50]
WRITE 4 0 0x233c 0x1 1 0 # MSIX_CTRL[51]
WRITE 4 0 0x234c 0x1 1 0 # MSIX_CTRL[52]
WRITE 4 0 0x235c 0x1 1 0 # MSIX_CTRL[53]
WRITE 4 0 0x236c 0x1 1 0 # MSIX_CTRL[54]
WRITE 4 0 0x237c 0x1 1 0 # MSIX_CTRL[55]
WRITE 4 0 0x238c 0x1 1 0 # MSIX_CTRL[56]
WRITE 4 0 0x239c 0x1 1 0 # MSIX_CTRL[57]
WRITE 4 0 0x23ac 0x1 1 0 # MSIX_CTRL[58]
WRITE 4 0 0x23bc 0x1 1 0 # MSIX_CTRL[59]
WRITE 4 0 0x23cc 0x1 1 0 # MSIX_CTRL[60]
WRITE 4 0 0x23dc 0x1 1 0 # MSIX_CTRL[61]
WRITE 4 0 0x23ec 0x1 1 0 # MSIX_CTRL[62]
WRITE 4 0 0x23fc 0x1 1 0 # MSIX_CTRL[63]
WRITE 4 0 0x240c 0x1 1 0 # MSIX_CTRL[64]
DELAY 140000
READ 4 0 0x0 0xf0107ff 1 0 # CAP
READ 4 0 0x4 0x401820 1 0 # CAP_HIGH
READ 4 0 0x3c 0x0 1 0 # CMBSZ
DELAY 404000
READ 4 0 0x8 0x10400 1 0 # VS
DELAY 475000
WRITE 4 0 0x14 0x0 1 0 # CC
READ 4 0 0x1c 0x0 1 0 # CSTS
DELAY 1308000
WRITE 4 0 0x24 0x1f001f 1 0 # AQA
DELAY 102000
WRITE 4 0 0x28 0x5ea3000 1 0 # ASQ
WRITE 4 0 0x2c 0x0 1 0 # ASQ_HIGH
WRITE 4 0 0x30 0x5ea1000 1 0 # ACQ
DELAY 213000
WRITE 4 0 0x34 0x0 1 0 # ACQ_HIGH
DELAY 123000
READ 4 0 0x0 0xf0107ff 1 0 # CAP
READ 4 0 0x4 0x401820 1 0 # CAP_HIGH
WRITE 4 0 0x14 0x460060 1 0 # CC
READ 4 0 0x14 0x460060 1 0 # CC
READ 4 0 0x0 0xf0107ff 1 0 # CAP
READ 4 0 0x4 0x401820 1 0 # CAP_HIGH
WRITE 4 0 0x14 0x460061 1 0 # CC
READ 4 0 0x1c 0x1 1 0 # CSTS
DELAY 7691000
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x26 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x26 1 0 # MSIX_DATA[0]
DELAY 142000
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x26 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x26 1 0 # MSIX_DATA[0]
DELAY 121000
WRITE 4 0 0x200c 0x0 1 0 # MSIX_CTRL[0]
DELAY 4487000
READ 4 0 0x8 0x10400 1 0 # VS
DELAY 3248000
WRITE 4 0 0x1000 0x1 1 0 # SQTDBL[0]
DELAY 497000
WRITE 4 0 0x1004 0x1 1 0 # CQHDBL[0]
DELAY 2381000
WRITE 4 0 0x1000 0x2 1 0 # SQTDBL[0]
DELAY 744000
WRITE 4 0 0x1004 0x2 1 0 # CQHDBL[0]
DELAY 2170000
WRITE 4 0 0x1000 0x3 1 0 # SQTDBL[0]
DELAY 162000
WRITE 4 0 0x1004 0x3 1 0 # CQHDBL[0]
DELAY 665000
WRITE 4 0 0x1000 0x4 1 0 # SQTDBL[0]
WRITE 4 0 0x1004 0x4 1 0 # CQHDBL[0]
DELAY 461000
WRITE 4 0 0x1000 0x5 1 0 # SQTDBL[0]
DELAY 99000
WRITE 4 0 0x1004 0x5 1 0 # CQHDBL[0]
DELAY 1886000
WRITE 4 0 0x1000 0x6 1 0 # SQTDBL[0]
DELAY 127000
WRITE 4 0 0x1004 0x6 1 0 # CQHDBL[0]
DELAY 460000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
READ 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
DELAY 154000
WRITE 4 0 0x2000 0x0 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x0 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x0 1 0 # MSIX_DATA[0]
DELAY 439000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
READ 4 0 0x2000 0x0 1 0 # MSIX_ADDR[0]
DELAY 16376000
READ 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
DELAY 341000
READ 4 0 0x201c 0x1 1 0 # MSIX_CTRL[1]
DELAY 579000
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0xef 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0xef 1 0 # MSIX_DATA[0]
DELAY 895000
WRITE 4 0 0x2010 0xfee01004 1 0 # MSIX_ADDR[1]
WRITE 4 0 0x2014 0x0 1 0 # MSIX_ADDR_HIGH[1]
WRITE 4 0 0x2018 0xef 1 0 # MSIX_DATA[1]
READ 4 0 0x2018 0xef 1 0 # MSIX_DATA[1]
DELAY 380000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
WRITE 4 0 0x201c 0x1 1 0 # MSIX_CTRL[1]
WRITE 4 0 0x202c 0x1 1 0 # MSIX_CTRL[2]
WRITE 4 0 0x203c 0x1 1 0 # MSIX_CTRL[3]
WRITE 4 0 0x204c 0x1 1 0 # MSIX_CTRL[4]
WRITE 4 0 0x205c 0x1 1 0 # MSIX_CTRL[5]
WRITE 4 0 0x206c 0x1 1 0 # MSIX_CTRL[6]
WRITE 4 0 0x207c 0x1 1 0 # MSIX_CTRL[7]
WRITE 4 0 0x208c 0x1 1 0 # MSIX_CTRL[8]
WRITE 4 0 0x209c 0x1 1 0 # MSIX_CTRL[9]
WRITE 4 0 0x20ac 0x1 1 0 # MSIX_CTRL[10]
WRITE 4 0 0x20bc 0x1 1 0 # MSIX_CTRL[11]
WRITE 4 0 0x20cc 0x1 1 0 # MSIX_CTRL[12]
WRITE 4 0 0x20dc 0x1 1 0 # MSIX_CTRL[13]
WRITE 4 0 0x20ec 0x1 1 0 # MSIX_CTRL[14]
WRITE 4 0 0x20fc 0x1 1 0 # MSIX_CTRL[15]
WRITE 4 0 0x210c 0x1 1 0 # MSIX_CTRL[16]
WRITE 4 0 0x211c 0x1 1 0 # MSIX_CTRL[17]
WRITE 4 0 0x212c 0x1 1 0 # MSIX_CTRL[18]
WRITE 4 0 0x213c 0x1 1 0 # MSIX_CTRL[19]
WRITE 4 0 0x214c 0x1 1 0 # MSIX_CTRL[20]
WRITE 4 0 0x215c 0x1 1 0 # MSIX_CTRL[21]
WRITE 4 0 0x216c 0x1 1 0 # MSIX_CTRL[22]
WRITE 4 0 0x217c 0x1 1 0 # MSIX_CTRL[23]
WRITE 4 0 0x218c 0x1 1 0 # MSIX_CTRL[24]
WRITE 4 0 0x219c 0x1 1 0 # MSIX_CTRL[25]
WRITE 4 0 0x21ac 0x1 1 0 # MSIX_CTRL[26]
WRITE 4 0 0x21bc 0x1 1 0 # MSIX_CTRL[27]
WRITE 4 0 0x21cc 0x1 1 0 # MSIX_CTRL[28]
WRITE 4 0 0x21dc 0x1 1 0 # MSIX_CTRL[29]
WRITE 4 0 0x21ec 0x1 1 0 # MSIX_CTRL[30]
WRITE 4 0 0x21fc 0x1 1 0 # MSIX_CTRL[31]
WRITE 4 0 0x220c 0x1 1 0 # MSIX_CTRL[32]
WRITE 4 0 0x221c 0x1 1 0 # MSIX_CTRL[33]
WRITE 4 0 0x222c 0x1 1 0 # MSIX_CTRL[34]
WRITE 4 0 0x223c 0x1 1 0 # MSIX_CTRL[35]
WRITE 4 0 0x224c 0x1 1 0 # MSIX_CTRL[36]
WRITE 4 0 0x225c 0x1 1 0 # MSIX_CTRL[37]
WRITE 4 0 0x226c 0x1 1 0 # MSIX_CTRL[38]
WRITE 4 0 0x227c 0x1 1 0 # MSIX_CTRL[39]
WRITE 4 0 0x228c 0x1 1 0 # MSIX_CTRL[40]
WRITE 4 0 0x229c 0x1 1 0 # MSIX_CTRL[41]
WRITE 4 0 0x22ac 0x1 1 0 # MSIX_CTRL[42]
WRITE 4 0 0x22bc 0x1 1 0 # MSIX_CTRL[43]
WRITE 4 0 0x22cc 0x1 1 0 # MSIX_CTRL[44]
WRITE 4 0 0x22dc 0x1 1 0 # MSIX_CTRL[45]
WRITE 4 0 0x22ec 0x1 1 0 # MSIX_CTRL[46]
WRITE 4 0 0x22fc 0x1 1 0 # MSIX_CTRL[47]
WRITE 4 0 0x230c 0x1 1 0 # MSIX_CTRL[48]
WRITE 4 0 0x231c 0x1 1 0 # MSIX_CTRL[49]
WRITE 4 0 0x232c 0x1 1 0 # MSIX_CTRL[50]
WRITE 4 0 0x233c 0x1 1 0 # MSIX_CTRL[51]
WRITE 4 0 0x234c 0x1 1 0 # MSIX_CTRL[52]
WRITE 4 0 0x235c 0x1 1 0 # MSIX_CTRL[53]
WRITE 4 0 0x236c 0x1 1 0 # MSIX_CTRL[54]
WRITE 4 0 0x237c 0x1 1 0 # MSIX_CTRL[55]
WRITE 4 0 0x238c 0x1 1 0 # MSIX_CTRL[56]
WRITE 4 0 0x239c 0x1 1 0 # MSIX_CTRL[57]
WRITE 4 0 0x23ac 0x1 1 0 # MSIX_CTRL[58]
WRITE 4 0 0x23bc 0x1 1 0 # MSIX_CTRL[59]
WRITE 4 0 0x23cc 0x1 1 0 # MSIX_CTRL[60]
WRITE 4 0 0x23dc 0x1 1 0 # MSIX_CTRL[61]
WRITE 4 0 0x23ec 0x1 1 0 # MSIX_CTRL[62]
WRITE 4 0 0x23fc 0x1 1 0 # MSIX_CTRL[63]
WRITE 4 0 0x240c 0x1 1 0 # MSIX_CTRL[64]
DELAY 628000
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x27 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x27 1 0 # MSIX_DATA[0]
WRITE 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x27 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x27 1 0 # MSIX_DATA[0]
WRITE 4 0 0x200c 0x0 1 0 # MSIX_CTRL[0]
DELAY 913000
WRITE 4 0 0x1000 0x7 1 0 # SQTDBL[0]
DELAY 375000
WRITE 4 0 0x1004 0x7 1 0 # CQHDBL[0]
DELAY 239000
WRITE 4 0 0x1000 0x8 1 0 # SQTDBL[0]
DELAY 268000
WRITE 4 0 0x1004 0x8 1 0 # CQHDBL[0]
DELAY 457000
WRITE 4 0 0x2010 0xfee01004 1 0 # MSIX_ADDR[1]
WRITE 4 0 0x2014 0x0 1 0 # MSIX_ADDR_HIGH[1]
WRITE 4 0 0x2018 0x26 1 0 # MSIX_DATA[1]
READ 4 0 0x2018 0x26 1 0 # MSIX_DATA[1]
WRITE 4 0 0x2010 0xfee01004 1 0 # MSIX_ADDR[1]
WRITE 4 0 0x2014 0x0 1 0 # MSIX_ADDR_HIGH[1]
WRITE 4 0 0x2018 0x26 1 0 # MSIX_DATA[1]
READ 4 0 0x2018 0x26 1 0 # MSIX_DATA[1]
WRITE 4 0 0x201c 0x0 1 0 # MSIX_CTRL[1]
DELAY 1341000
WRITE 4 0 0x1000 0x9 1 0 # SQTDBL[0]
DELAY 106000
WRITE 4 0 0x1004 0x9 1 0 # CQHDBL[0]
DELAY 414000
WRITE 4 0 0x1000 0xa 1 0 # SQTDBL[0]
DELAY 1366000
WRITE 4 0 0x1004 0xa 1 0 # CQHDBL[0]
DELAY 597000
WRITE 4 0 0x1000 0xb 1 0 # SQTDBL[0]
DELAY 384000
WRITE 4 0 0x1000 0xc 1 0 # SQTDBL[0]
WRITE 4 0 0x1004 0xb 1 0 # CQHDBL[0]
DELAY 421000
WRITE 4 0 0x1000 0xd 1 0 # SQTDBL[0]
DELAY 110000
WRITE 4 0 0x1004 0xc 1 0 # CQHDBL[0]
DELAY 246000
WRITE 4 0 0x1000 0xe 1 0 # SQTDBL[0]
DELAY 938000
WRITE 4 0 0x1004 0xd 1 0 # CQHDBL[0]
DELAY 455000
WRITE 4 0 0x1000 0xf 1 0 # SQTDBL[0]
WRITE 4 0 0x1004 0xe 1 0 # CQHDBL[0]
DELAY 3869000
WRITE 4 0 0x1000 0x10 1 0 # SQTDBL[0]
DELAY 430000
WRITE 4 0 0x1004 0xf 1 0 # CQHDBL[0]
DELAY 617000
WRITE 4 0 0x1000 0x11 1 0 # SQTDBL[0]
DELAY 112000
WRITE 4 0 0x1004 0x10 1 0 # CQHDBL[0]
DELAY 12617000
WRITE 4 0 0x1008 0x1 1 0 # SQTDBL[1]
DELAY 1571000
WRITE 4 0 0x100c 0x1 1 0 # CQHDBL[1]
DELAY 8407000
WRITE 4 0 0x1008 0x2 1 0 # SQTDBL[1]
DELAY 410000
WRITE 4 0 0x100c 0x2 1 0 # CQHDBL[1]
DELAY 823000
WRITE 4 0 0x1008 0x3 1 0 # SQTDBL[1]
DELAY 296000
WRITE 4 0 0x100c 0x3 1 0 # CQHDBL[1]
DELAY 2024215000
WRITE 4 0 0x1008 0x4 1 0 # SQTDBL[1]
DELAY 1036000
WRITE 4 0 0x100c 0x4 1 0 # CQHDBL[1]
DELAY 2443000
WRITE 4 0 0x1008 0x5 1 0 # SQTDBL[1]
DELAY 1999000
WRITE 4 0 0x100c 0x6 1 0 # CQHDBL[1]
DELAY 1160000
WRITE 4 0 0x1008 0x7 1 0 # SQTDBL[1]
DELAY 140000
WRITE 4 0 0x100c 0x7 1 0 # CQHDBL[1]
DELAY 8789000
WRITE 4 0 0x1008 0x8 1 0 # SQTDBL[1]
DELAY 283000
WRITE 4 0 0x100c 0x8 1 0 # CQHDBL[1]
DELAY 1186000
WRITE 4 0 0x1008 0x9 1 0 # SQTDBL[1]
DELAY 272000
WRITE 4 0 0x100c 0x9 1 0 # CQHDBL[1]
DELAY 984000
WRITE 4 0 0x1008 0xa 1 0 # SQTDBL[1]
DELAY 202000
WRITE 4 0 0x100c 0xa 1 0 # CQHDBL[1]
DELAY 713000
WRITE 4 0 0x1008 0xb 1 0 # SQTDBL[1]
DELAY 131000
WRITE 4 0 0x100c 0xb 1 0 # CQHDBL[1]
DELAY 799000
WRITE 4 0 0x1008 0xc 1 0 # SQTDBL[1]
DELAY 133000
WRITE 4 0 0x100c 0xc 1 0 # CQHDBL[1]
DELAY 13167000
WRITE 4 0 0x1008 0xd 1 0 # SQTDBL[1]
DELAY 1740000
WRITE 4 0 0x100c 0xd 1 0 # CQHDBL[1]
DELAY 1043057000
READ 4 0 0x1c 0x1 1 0 # CSTS
DELAY 904000
WRITE 4 0 0x1000 0x12 1 0 # SQTDBL[0]
DELAY 574000
WRITE 4 0 0x1004 0x11 1 0 # CQHDBL[0]
DELAY 568000
WRITE 4 0 0x1000 0x13 1 0 # SQTDBL[0]
WRITE 4 0 0x1004 0x12 1 0 # CQHDBL[0]
DELAY 1554000
WRITE 4 0 0x14 0x464061 1 0 # CC
DELAY 157000
READ 4 0 0x1c 0x9 1 0 # CSTS
DELAY 676000
WRITE 4 0 0x201c 0x1 1 0 # MSIX_CTRL[1]
READ 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2010 0x0 1 0 # MSIX_ADDR[1]
WRITE 4 0 0x2014 0x0 1 0 # MSIX_ADDR_HIGH[1]
WRITE 4 0 0x2018 0x0 1 0 # MSIX_DATA[1]
READ 4 0 0x2018 0x0 1 0 # MSIX_DATA[1]
DELAY 10449000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
READ 4 0 0x2000 0xfee01004 1 0 # MSIX_ADDR[0]
DELAY 99000
WRITE 4 0 0x2000 0x0 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x2004 0x0 1 0 # MSIX_ADDR_HIGH[0]
WRITE 4 0 0x2008 0x0 1 0 # MSIX_DATA[0]
READ 4 0 0x2008 0x0 1 0 # MSIX_DATA[0]
DELAY 563000
WRITE 4 0 0x200c 0x1 1 0 # MSIX_CTRL[0]
READ 4 0 0x2000 0x0 1 0 # MSIX_ADDR[0]
WRITE 4 0 0x201c 0x1 1 0 # MSIX_CTRL[1]
READ 4 0 0x2000 0x0 1 0 # MSIX_ADDR[0]
# mark: done
"""

# Where the regions were in the recording. PCI devices are looked for by their address, and must have the same ids.
Region = namedtuple("Region", "name pci vendor device bar base map pcidev")
REGIONS = [
    Region("00:03.0/BAR0", "0000:00:03.0", 0x1b36, 0x0010, 0, 0xfebf0000, 1, "PCIDEV 0018 1b360010 b febf0004 0 0 0 0 0 0 4000 0 0 0 0 0 0 "),
]
# What was mapped in the recording: physical address, bytes.
MAPS = [
    (0xfebf0000, 0x2000),
    (0xfebf2000, 0x410),
]
BEGAN = 3236502000  # nanoseconds, when the recording began

Step = namedtuple("Step", "op width region offset value count every")


def steps():
    """The table, row by row."""
    for line in STEPS.splitlines():
        op, *numbers = line.partition("#")[0].split() or [""]
        if op == "DELAY":
            yield Step(op, 0, 0, 0, int(numbers[0]), 1, 0)
        elif op:
            yield Step(op, *(int(number, 0) for number in numbers))


def play(bus, tell):
    """Do all of it: bus.read(region, offset, width), bus.write(region, offset, width, value), bus.delay(nanoseconds).

    `tell` is called with a line for each read that is not as recorded. Returns how many were not.
    """
    differing = 0
    waiting = None
    for step in steps():
        place = step.region, step.offset, step.width
        if step.op == "DELAY":
            bus.delay(step.value)
        elif step.op == "WRITE":
            bus.write(*place, step.value)
        elif step.op == "ANY":
            bus.read(*place)
        elif step.op == "WHILE":
            waiting = step
        elif step.op == "UNTIL":
            mask = waiting.value ^ step.value
            for _ in range(waiting.count * 100 + (1000 if waiting.every else 1000000)):
                got = bus.read(*place)
                if not (got ^ step.value) & mask:
                    break
                if waiting.every:
                    bus.delay(waiting.every)
            else:
                differing += 1
                place = f"{REGIONS[step.region].name}+{step.offset:#x}"
                tell(f"{place}: {got:#x}, waited for {step.value:#x} in the bits {mask:#x}")
        else:
            for turn in range(step.count):
                if turn and step.every:
                    bus.delay(step.every)
                got = bus.read(*place)
                if got != step.value:
                    differing += 1
                    tell(f"{REGIONS[step.region].name}+{step.offset:#x}: {got:#x}, recorded {step.value:#x}")
    return differing


class Harness:
    """The accesses as those of a driver in the harness of mmiotools."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.mapped = {}
        self.waited = 0

    def at(self, region, offset):
        if region not in self.mapped:
            held = REGIONS[region]
            base, size = MAPS[held.map - 1] if held.map else (held.base, 0)
            if held.pci is not None and held.bar < 6:
                base, size = self.kernel.pci_resource_start(held.bar), self.kernel.pci_resource_len(held.bar)
            self.mapped[region] = self.kernel.ioremap(base, size)
        return self.mapped[region] + offset

    def read(self, region, offset, width):
        return self.kernel.read(self.at(region, offset), width)

    def write(self, region, offset, width, value):
        self.kernel.write(self.at(region, offset), width, value)

    def delay(self, nanoseconds):
        microseconds, self.waited = divmod(self.waited + nanoseconds, 1000)
        self.kernel.udelay(microseconds)


def probe(kernel):
    """The driver that `mmiotools record` and `mmiotools replay` run."""
    if kernel.pci_enable_device():
        return -19
    bus = Harness(kernel)
    differing = play(bus, kernel.printk)
    if differing:
        kernel.printk(f"{differing} reads differ")
    for virt in bus.mapped.values():
        kernel.iounmap(virt)
    return 0


class Printer:
    """No accesses, but mmiotrace text."""

    def __init__(self):
        self.time = BEGAN
        print("VERSION 20070824")
        for region in REGIONS:
            if region.pcidev is not None:
                print(region.pcidev)
        for number, (base, size) in enumerate(MAPS):
            print(f"MAP {self.stamp()} {number + 1} {base:#x} 0x0 {size:#x} 0x0 0")

    def stamp(self):
        return f"{self.time // 1000000000}.{self.time // 1000 % 1000000:06}"

    def all(self):
        every = 0
        for step in steps():
            if step.op == "DELAY":
                self.time += step.value
            if step.op in ("DELAY", "ANY"):
                continue
            for turn in range(step.count):
                self.time += every if step.op == "UNTIL" else step.every if turn else 0
                where = f"{REGIONS[step.region].map} {REGIONS[step.region].base + step.offset:#x}"
                letter = "W" if step.op == "WRITE" else "R"
                print(f"{letter} {step.width} {self.stamp()} {where} {step.value:#x} 0x0 0")
                self.time += 1000
            every = step.every


class Hardware:
    """The PCI device of this machine, through sysfs; regions that are none's through /dev/mem."""

    def __init__(self, moved, delays):
        self.moved = moved
        self.delays = delays
        self.mapped = {}
        self.types = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
        reach = {}
        for step in steps():
            if step.op != "DELAY":
                reach[step.region] = max(reach.get(step.region, 0), step.offset + step.width)
        for region, end in reach.items():
            self.mapped[region] = self.map(REGIONS[region], end)

    def map(self, region, end):
        path, start = "/dev/mem", region.base
        if region.pci is not None:
            folder = f"/sys/bus/pci/devices/{self.moved or region.pci}"
            for which, expected in (("vendor", region.vendor), ("device", region.device)):
                with open(f"{folder}/{which}") as file:
                    found = int(file.read(), 16)
                if found != expected:
                    sys.exit(f"{folder}/{which}: {found:04x}, recorded {expected:04x}")
            path, start = f"{folder}/{'rom' if region.bar == 6 else f'resource{region.bar}'}", 0
        with open(path, "r+b", buffering=0) as file:
            before = start % mmap.PAGESIZE
            return mmap.mmap(file.fileno(), before + end, offset=start - before), before

    def at(self, region, offset, width):
        memory, before = self.mapped[region]
        return self.types[width].from_buffer(memory, before + offset)

    def read(self, region, offset, width):
        return self.at(region, offset, width).value

    def write(self, region, offset, width, value):
        self.at(region, offset, width).value = value

    def delay(self, nanoseconds):
        if self.delays:
            time.sleep(nanoseconds / 1e9)


def main():
    parser = argparse.ArgumentParser(description="The accesses of a recording.")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--print", action="store_true", help="print them as mmiotrace text")
    way.add_argument("--run", action="store_true", help="do them on the hardware")
    parser.add_argument("--no-delays", action="store_true", help="leave out the recorded pauses")
    parser.add_argument("--device", metavar="0000:00:00.0", help="the PCI device, if it is not where it was")
    chosen = parser.parse_args()
    if chosen.print:
        Printer().all()
        return 0
    try:
        hardware = Hardware(chosen.device, not chosen.no_delays)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    differing = play(hardware, print)
    print(f"{differing} reads differ")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
