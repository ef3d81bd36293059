"""What one would write in a minute: reads a mmiotrace log line by line: python bench/plain_parser.py FILE.

A peer for the benchmark. It makes numbers of all fields of accesses, checks nothing, and counts.
"""

from __future__ import annotations

import sys
from collections import Counter

reads: Counter[int] = Counter()
writes: Counter[int] = Counter()
with open(sys.argv[1], encoding="latin-1") as file:
    for line in file:
        words = line.split()
        if words and words[0] in ("R", "W"):
            seconds, micro = words[2].split(".")
            width, time, number = int(words[1]), int(seconds) * 1_000_000 + int(micro), int(words[3])
            address, value, pc, pid = int(words[4], 16), int(words[5], 16), int(words[6], 16), int(words[7])
            (reads if words[0] == "R" else writes)[address] += 1
for address in sorted({*reads, *writes}):
    print(f"{address:#x} {reads[address]} {writes[address]}")
