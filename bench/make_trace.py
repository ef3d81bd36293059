"""Makes a long mmiotrace log out of a short recorded one: python bench/make_trace.py [OPTIONS] SRC OUT N.

The accesses of SRC (plain or .xz) are played over and over, each turn on the next of three cards of which one has a
64-bit BAR above 4 GiB; with --ranges some go to a fourth card. The same arguments always give the same bytes.
"""

from __future__ import annotations

import argparse
import lzma
import random
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

#: Where the three cards have their registers.
BASES = (0xFEBC0000, 0xFB000000, 0x380000000000)
WINDOW = 0x20000
#: Where the fourth card has them.
FOURTH = 0xFC000000
#: Of the accesses from the second turn on: how many get another value, and how many become 64 bits wide.
CHANGED, WIDE = 0.10, 0.01
SEED = 2007
#: Longer pauses than this (microseconds) are the machine waiting for a person: they do not jitter.
PAUSE = 200_000

#: The register that poll loops read, and how often they go round.
STATUS, ROUNDS = 0x8, (100, 2600)


class Access(NamedTuple):
    """One R or W line of the source. `step` is microseconds since the one before, `rest` is " PC PID"."""

    op: str
    width: str
    step: int
    offset: int
    value: int
    rest: str


class Range(NamedTuple):
    """A page of the fourth card, and the share of all accesses that goes to it.

    at  how far into the log the stretch begins in which all of them lie, as a share of it; None: spread evenly
    """

    start: int
    share: float
    at: float | None

    @property
    def last(self) -> int:
        """Its last address."""
        return self.start + PAGE - 1


PAGE = 0x1000
RANGES = (
    Range(FOURTH, 0.001, 0.7),
    Range(FOURTH + PAGE, 0.1, 0.4),
    Range(FOURTH + 2 * PAGE, 0.001, None),
    Range(FOURTH + 3 * PAGE, 0.1, None),
)


def read_source(path: str) -> tuple[list[str], list[Access]]:
    """VERSION and PCIDEV lines, and accesses. The first MAP says where the offsets count from."""
    head: list[str] = []
    accesses: list[Access] = []
    base, before = None, None
    with lzma.open(path, "rt", encoding="latin-1") if path.endswith(".xz") else open(path, encoding="latin-1") as file:
        for line in file:
            words = line.split()
            if not words:
                continue
            if words[0] in ("VERSION", "PCIDEV"):
                head.append(line.rstrip("\r\n") + "\n")
            elif words[0] == "MAP" and base is None:
                base = int(words[3], 16)
            elif words[0] in ("R", "W") and base is not None:
                seconds, micro = words[2].split(".")
                now = int(seconds) * 1_000_000 + int(micro)
                offset = int(words[4], 16) - base
                if 0 <= offset < WINDOW:
                    step = 0 if before is None else now - before
                    value, rest = int(words[5], 16), f" {words[6]} {words[7]}"
                    accesses.append(Access(words[0], words[1], step, offset, value, rest))
                before = now
    if not accesses:
        raise SystemExit(f"{path}: has no accesses to repeat")
    return head, accesses


def more_cards(ranges: bool) -> list[str]:
    """PCIDEV lines of the cards from the second on, the third with a 64-bit BAR."""
    lines = []
    for number, base in enumerate(BASES[1:] + (FOURTH,) * ranges, 4):
        flags = 0xC if base >> 32 else 0
        lines.append(f"PCIDEV {number << 3:04x} 8086100e b {base | flags:x} 0 0 0 0 0 0 {WINDOW:x} 0 0 0 0 0 0 \n")
    return lines


def pages(events: int) -> Iterator[int]:
    """Of each access in turn: the page of the fourth card that it goes to, 0 for none."""
    draw = random.Random("ranges").random
    spread = [one for one in RANGES if one.at is None]
    # What is spread lies in the stretches as well, which therefore are longer.
    left = 1 - sum(one.share for one in spread)
    stretches = [
        (range(int(one.at * events), int((one.at + one.share / left) * events)), one.start)
        for one in RANGES
        if one.at is not None
    ]
    for number in range(events):
        drawn = draw()
        for one in spread:
            if drawn < one.share:
                yield one.start
                break
            drawn -= one.share
        else:
            yield next((start for numbers, start in stretches if number in numbers), 0)


def turns(
    accesses: list[Access], events: int, weather: int, edits: float, polls: int, ranges: bool
) -> Iterator[list[str]]:
    """The lines of one turn after the other, `events` accesses in all before `edits` of them are made otherwise and
    `polls` poll loops are put between them.

    weather  seed of the times; edits, and how often each loop goes round, are drawn from it as well
    """
    loops = set(random.Random("loops").sample(range(events), polls))
    rounds = random.Random(f"rounds {weather}")
    elsewhere = pages(events) if ranges else repeat(0)
    done = 0
    values = random.Random(SEED)
    chance, bits = values.random, values.getrandbits
    other = random.Random(f"weather {weather}")
    jitter = other.random
    now, turn = 2_450_127, 0
    while events > 0:
        base, number = BASES[turn % 3], 1 + turn % 3
        stamp = f"{now // 1_000_000}.{now % 1_000_000:06d}"
        lines = [f"MARK {stamp} turn {turn} begins\n"] if turn % 7 == 0 else []
        lines.append(f"MAP {stamp} {number} 0x{base:x} 0x{0xFFFFC90000000000 + (turn << 20):x} 0x{WINDOW:x} 0x0 0\n")
        if ranges and turn == 0:
            lines.append(f"MAP {stamp} 4 0x{FOURTH:x} 0x{0xFFFFC90000000000 - WINDOW:x} 0x{WINDOW:x} 0x0 0\n")
        for (op, width, step, offset, value, rest), page in zip(accesses[:events], elsewhere, strict=False):
            now += step if step > PAUSE else int(step * (0.5 + jitter()))
            draw = chance() if turn else 1.0
            if draw < WIDE:
                width, value = "8", bits(64)
            elif draw < CHANGED:
                value = bits(32)
            place = f"4 0x{page + offset % PAGE:x}" if page else f"{number} 0x{base + offset:x}"
            line = f"{op} {width} {now // 1_000_000}.{now % 1_000_000:06d} {place} "
            said = f"{line}0x{value:x}{rest}\n"
            if edits and jitter() < edits:
                # A third each: not done, done twice, done with another value.
                said = ("", said + said, f"{line}0x{value ^ 0x100:x}{rest}\n")[int(jitter() * 3)]
            lines.append(said)
            if done in loops:
                polled = f"R 4 {now // 1_000_000}.{now % 1_000_000:06d} {number} 0x{base + STATUS:x} 0x80080783{rest}\n"
                lines.append(polled * rounds.randint(*ROUNDS))
            done += 1
        lines.append(f"UNMAP {now // 1_000_000}.{now % 1_000_000:06d} {number} 0x0 0\n")
        events -= len(accesses)
        turn += 1
        if ranges and events <= 0:
            lines.append(f"UNMAP {now // 1_000_000}.{now % 1_000_000:06d} 4 0x0 0\n")
        yield lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SRC")
    parser.add_argument("output", metavar="OUT")
    parser.add_argument("events", metavar="N", type=int, help="accesses in the output")
    parser.add_argument("--edits", type=float, default=0.0, metavar="SHARE", help="share of accesses done otherwise")
    parser.add_argument("--weather", type=int, default=0, metavar="SEED", help="other times, the same accesses")
    parser.add_argument("--polls", type=int, default=0, metavar="N", help="poll loops, as long as the weather has it")
    parser.add_argument("--ranges", action="store_true", help="a fourth card, and what goes to it")
    given = parser.parse_args()
    head, accesses = read_source(given.source)
    with open(given.output, "w", encoding="latin-1", buffering=1 << 20) as out:
        out.writelines(head + more_cards(given.ranges))
        for lines in turns(accesses, given.events, given.weather, given.edits, given.polls, given.ranges):
            out.writelines(lines)


if __name__ == "__main__":
    main()
