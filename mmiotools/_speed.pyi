from typing import Any

LINE_MOST: int

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
