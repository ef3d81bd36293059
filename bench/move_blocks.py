"""Moves blocks of a mmiotrace log: python bench/move_blocks.py [--seed S] [--times N] SRC OUT N.

Times stay at the lines where they were, so that they go on rising. The same arguments always give the same bytes.
"""

from __future__ import annotations

import argparse
import random

#: Accesses in a block that moves.
BLOCK = (2000, 3200)


def moved(lines: list[str], count: int, rng: random.Random, times: int = 1) -> list[str]:
    """The lines with `count` blocks of accesses elsewhere, `times` as long as BLOCK says: each is dealt out to one part
    of the log.
    """
    at = [number for number, line in enumerate(lines) if line.startswith(("R ", "W "))]
    accesses = [lines[number] for number in at]
    part = len(accesses) // count
    pieces: list[list[str]] = []
    blocks = []
    for number in range(count):
        own = accesses[number * part : (number + 1) * part if number + 1 < count else len(accesses)]
        size = min(times * rng.randint(*BLOCK), part // 4)
        start = rng.randrange(len(own) - size)
        blocks.append(own[start : start + size])
        pieces.append(own[:start] + own[start + size :])
    order = list(range(count))
    while any(number == place for place, number in enumerate(order)):
        rng.shuffle(order)
    played: list[str] = []
    for number, piece in zip(order, pieces, strict=True):
        where = rng.randrange(len(piece))
        played += piece[:where] + blocks[number] + piece[where:]
    result = list(lines)
    for number, line in zip(at, played, strict=True):
        words = line.split(" ")
        words[2] = lines[number].split(" ", 3)[2]
        result[number] = " ".join(words)
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SRC")
    parser.add_argument("output", metavar="OUT")
    parser.add_argument("blocks", metavar="N", type=int, help="blocks to move")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which, and where to")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how many times as long they are")
    given = parser.parse_args()
    with open(given.source, encoding="latin-1") as file:
        lines = list(file)
    with open(given.output, "w", encoding="latin-1", buffering=1 << 20) as out:
        out.writelines(moved(lines, given.blocks, random.Random(given.seed), given.times))


if __name__ == "__main__":
    main()
