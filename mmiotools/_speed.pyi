from typing import Any

LINE_MOST: int
VERSION: int

def scan_lines(
    block: bytes,
    at: int,
    rows: int,
    kind: Any,
    width: Any,
    crlf: Any,
    time: Any,
    map: Any,
    pid: Any,
    start: Any,
    end: Any,
    addr: Any,
    value: Any,
    pc: Any,
    opcode: Any,
    /,
) -> tuple[int, int]: ...
def print_rows(
    out: Any,
    low: int,
    high: int,
    kind: Any,
    width: Any,
    time: Any,
    map: Any,
    pid: Any,
    addr: Any,
    value: Any,
    pc: Any,
    opcode: Any,
    /,
) -> int: ...
def read_block(data: Any, first: int, n: int, unit: int, expand: Any, crc32: Any, /) -> object: ...
def read_parts(head: Any, body: Any, n: int, unit: int, expand: Any, crc32: Any, /) -> object: ...
def block_names(block: object, /) -> list[str]: ...
def block_addresses(block: object, /) -> bytes | None: ...
def block_extras(block: object, /) -> bytes | None: ...
def pick_rows(block: object, names: tuple[str, ...], steps: list[Any], within: Any, /) -> bytes: ...
def take_rows(
    block: object, names: tuple[str | None, ...], rows: Any, /
) -> list[tuple[int | None, ...]]: ...
def print_picked(
    block: object, rows: Any, count: int, between: Any, lines: list[bytes], out: Any, /
) -> int: ...
def rows_within(block: object, low: int, high: int, inside: int, out: Any, /) -> bool: ...
def take_accesses(
    rows: int, segments: int, columns: tuple[Any, ...], table: tuple[Any, Any, Any], at: int, out: tuple[Any, ...], /
) -> int: ...
def take_stored(
    block: object,
    start: int,
    stop: int,
    segments: int,
    table: tuple[Any, Any, Any],
    at: int,
    out: tuple[Any, ...],
    /,
) -> int: ...
def hash_accesses(rows: int, columns: tuple[Any, ...], keep: Any, identities: Any, out: Any, /) -> None: ...
def same_runs(
    runs: int,
    ends: tuple[Any, Any, Any],
    rows_a: int,
    columns_a: tuple[Any, ...],
    rows_b: int,
    columns_b: tuple[Any, ...],
    identities: Any,
    keep: Any,
    /,
) -> bool: ...
def sample_kgrams(
    keys: Any, k: int, base: int, limit: int, start: int, places: Any, hashes: Any, /
) -> tuple[int, int]: ...
def equal_runs(
    a: Any,
    b: Any,
    stretches: int,
    start: Any,
    count: Any,
    shift: Any,
    shortest: int,
    out_start: Any,
    out_count: Any,
    out_shift: Any,
    /,
) -> int: ...
def common_subsequence(a: Any, b: Any, left: Any, right: Any, /) -> int: ...
def common_ends(a: Any, b: Any, count: int, gaps: Any, end: bool, out: Any, /) -> None: ...
def rows_like(numbers: Any, table: Any, skipped: Any, rows: Any, /) -> int: ...
def rank_pairs(a: Any, b: Any, limit: int, left: Any, right: Any, /) -> int: ...
def grow_blocks(a: tuple[Any, Any, Any], b: tuple[Any, Any, Any], ends: tuple[Any, Any, Any], k: int, /) -> int: ...
def spell_accesses(
    spans: int,
    ends: tuple[Any, Any, Any],
    rows: int,
    columns: tuple[Any, ...],
    names: bytes,
    name_ends: Any,
    out: Any,
    /,
) -> int: ...
def split(numbers: Any, n: int, out: Any, /) -> int: ...
def codes(numbers: Any, n: int, most: int, dictionary: Any, out: Any, /) -> int: ...
def alike(column: Any, size: int, /) -> bool: ...
def join(planes: list[Any], n: int, dictionary: Any, zigzag: bool, size: int, out: Any, /) -> None: ...
def pack_column(
    column: Any, n: int, size: int, signed: bool, present: Any, what: int, room: Any, /
) -> tuple[int, int, int, int, int, int, int, int, int, int, bytes]: ...
def steps(times: Any, n: int, small: Any, large: Any, /) -> tuple[int, int, int]: ...
def sum_steps(small: Any, n: int, large: Any, many: int, first: int, unit: int, out: Any, /) -> None: ...
def tally_rows(
    n: int, kind: Any, addr: Any, has_addr: Any, map: Any, has_map: Any, width: Any, has_width: Any, /
) -> bytes: ...
def tally_lines(block: Any, at: int, room: int, others: Any, times: Any, /) -> tuple[int, int, int, bytes]: ...
def add_up(entries: Any, /) -> bytes: ...
def new_tally() -> object: ...
def take_entries(tally: object, /) -> tuple[tuple[int, int, int], bytes]: ...
def tally_block(
    tally: object, block: object, /
) -> tuple[tuple[int, int, int, int, int, int] | None, bytes, int] | None: ...
def sums(words: Any, /) -> None: ...
def set_malloc(parameter: int, size: int, /) -> None: ...
