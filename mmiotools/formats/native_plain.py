"""What compiled/block.c, rows.c and row_lines.c do for `native_stored`, in plain Python: for so few events that numpy
takes longer to import. Functions are called as these are. Whatever is unusual or wrong raises one of WRONG there.
"""

from __future__ import annotations

from itertools import compress

from mmiotools.events import Kind
from mmiotools.formats.native_body import EXTRAS, whole_block, whole_parts
from mmiotools.formats.native_plain_columns import Coded, Columns, both, codes_at, either, inside, joined, taken
from mmiotools.small import array
from mmiotools.typed import Any, NamedTuple, Sequence

#: Events that are worth this way; and lines, of which those that are like no others count several times.
MOST = 1 << 16
_LINES, _TIMES = 80_000, 4
#: Bytes of the longest line.
LINE_MOST = 160
#: What a line says beside its time.
_SAID = ("kind", "width", "map", "addr", "value", "pc", "pid")
_NOT_PLAIN, _NO_ROOM = -1, -2
_AND, _OR, _NOT = range(3)


class Block(NamedTuple):
    """A block of n events, and the payload of its extras."""

    n: int
    columns: Columns
    extras: bytes | None


def read_block(data: Any, first: int, n: int, unit: int, expand: Any, crc32: Any) -> Block:
    """See compiled/block.c."""
    return _block(n, unit, *whole_block(data, first, n))


def read_parts(head: Any, body: Any, n: int, unit: int, expand: Any, crc32: Any) -> Block:
    """See compiled/block.c."""
    return _block(n, unit, *whole_parts(head, body, n))


def _block(n: int, unit: int, head: dict[str, Any], payloads: dict[Any, bytes]) -> Block:
    return Block(n, Columns(n, unit, head, payloads), payloads.get(EXTRAS))


def block_names(block: Block) -> list[Any]:
    """The names of its columns."""
    return block.columns.names()


def block_addresses(block: Block) -> bytes | None:
    """The distinct addresses, ascending, 64 bits each; None where it has no list."""
    words = block.columns.addresses()
    return None if words is None else array("Q", sorted(words)).tobytes()


def block_extras(block: Block) -> bytes | None:
    """The payload of its extras; None where it has none."""
    return block.extras


def join(planes: list[bytes], n: int, dictionary: None, zigzag: bool, size: int, out: array[int]) -> None:
    """The n numbers behind byte planes."""
    out[:] = joined(planes, n)


def pick_rows(block: Block, names: Sequence[str], steps: list[Any], within: Any) -> bytes:
    """The rows that an expression selects, ascending, "i": see compiled/rows.c."""
    stack: list[bytes] = []
    for step in steps:
        if step == _NOT:
            stack.append(stack.pop().translate(_OTHER))
        elif step in (_AND, _OR):
            second = stack.pop()
            stack.append((both if step == _AND else either)(stack.pop(), second))
        else:
            number, *ranges = step
            column = block.columns.get(names[number])
            stack.append(bytes(block.n) if column is None else column.where(ranges))
    (found,) = stack
    if within is not None:
        found = both(found, within)
    return array("i", compress(range(block.n), found)).tobytes()


#: 1 for 0, 0 for anything else.
_OTHER = bytes([1]) + bytes(255)


def take_rows(block: Block, names: Sequence[str | None], rows: Sequence[int] | None) -> list[tuple[int | None, ...]]:
    """The numbers of some rows, or all, in the columns of these names; None where there is none."""
    columns = (None if name is None else block.columns.get(name) for name in names)
    which = range(block.n) if rows is None else rows
    return list(zip(*[taken(column, which) for column in columns], strict=True))


def rows_within(block: Block, low: int, high: int, before: bool, out: bytearray) -> bool:
    """Which rows lie in a range of times: see compiled/rows.c."""
    kinds, times = block.columns.get("kind"), block.columns.get("time")
    assert kinds is not None, "a block without kinds is none"
    lost = kinds.where([255, 0, [Kind.LOST], [Kind.LOST]])
    timed = lost.translate(_OTHER) if 1 in lost else None
    out[:] = bytes([before]) * block.n if times is None else inside(times, low, high, timed, before)
    return bool(out[-1])


def print_picked(
    block: Block, rows: Sequence[int], count: int, between: Sequence[int], lines: list[bytes], out: memoryview
) -> int:
    """Rows that are reads and writes as lines of mmiotrace text, with `lines` for the rows `between`: how many bytes of
    `out` it is; less than 0 as compiled/rows.c says it.
    """
    told = dict(zip(between, lines, strict=True))
    kept = [row for row in rows if row not in told] if told else rows
    column = block.columns.get("time")
    times = [] if column is None else [time for time in taken(column, kept) if time is not None]
    spelled = _spelled(block, kept)
    if spelled is None or len(times) < len(kept) or (times and min(times) < 0):
        return _NOT_PLAIN
    texts = [
        f"{begin}{time // 1_000_000_000}.{time // 1000 % 1_000_000:06d}{end}"
        for time, (begin, end) in zip(times, spelled, strict=True)
    ]
    if told:
        in_place = dict(zip(kept, texts, strict=True))
        in_place.update((row, line.decode("latin-1")) for row, line in told.items())
        texts = [in_place[row] for row in sorted(in_place)]
    data = "".join(texts).encode("latin-1")
    if len(data) > len(out):
        return _NO_ROOM
    out[: len(data)] = data
    return len(data)


def _spelled(block: Block, rows: Sequence[int]) -> list[tuple[str, str]] | None:
    """What the lines of rows say before their times, and behind; None where one is no read or write, or lacks some, or
    where it is too much.
    """
    columns = [block.columns.get(name) for name in _SAID]
    coded = [column for column in columns if isinstance(column, Coded)]
    planes = next((column.planes for column in coded if column.planes), [])
    keys: Sequence[Any]
    if len(coded) == len(columns) and all([not column.planes or column.planes is planes for column in coded]):
        for flags in {column.present.flags for column in coded if column.present is not None}:
            if not all([flags[row] for row in rows]):
                return None
        keys = codes_at(planes, rows)
        said = {key: tuple([column.table[key if column.planes else 0] for column in coded]) for key in set(keys)}
    else:
        keys = list(zip(*[taken(column, rows) for column in columns], strict=True))
        said = {key: key for key in keys}
    if len(keys) + _TIMES * len(said) > _LINES:
        return None
    texts = {key: _ends(*numbers) for key, numbers in said.items()}
    spelled = {key: text for key, text in texts.items() if text is not None}
    return [spelled[key] for key in keys] if len(spelled) == len(texts) else None


def _ends(*said: int | None) -> tuple[str, str] | None:
    """The text of an access before and behind its time, by what _SAID names."""
    if None in said:
        return None
    kind, width, map_id, addr, value, pc, pid = (number or 0 for number in said)
    if kind > Kind.WRITE or map_id < 0 or pid < 0:
        return None
    return f"{'R' if kind == Kind.READ else 'W'} {width} ", f" {map_id} {addr:#x} {value:#x} {pc:#x} {pid}\n"
