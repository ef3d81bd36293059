"""The bytes of a native file around its columns: file header, block frames, trailer. formats/native.md says why."""

from __future__ import annotations

import struct
import zlib

from mmiotools.formats.native_magic import MAGIC, SYNC
from mmiotools.speed import compiled
from mmiotools.typed import Any, Callable, NamedTuple

END = b"MMIOEND\n"

MAJOR, MINOR = 1, 0
#: Header flag: the writer means to end the file with a footer, so that a file without one was cut off.
FOOTER_FOLLOWS = 1
#: `events` of a file whose number of events was not known when its header was written.
UNKNOWN_COUNT = (1 << 64) - 1

_CRC = struct.Struct("<I")
_FILE_HEADER = struct.Struct("<8sHHIQII")
FILE_HEADER_SIZE = _FILE_HEADER.size + 4
#: Byte offset of `events` and of `crc`, which a writer onto a file fills in at the end.
EVENTS_AT = 16

_FRAME = struct.Struct("<8sBBHIIQII")
FRAME_SIZE = _FRAME.size + 4
TRAILER = struct.Struct("<Q8s")

EVENTS, FOOTER = ord("E"), ord("F")

#: Encodings of a column, as the directory of a block numbers them.
CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA, MSGPACK, SHARED, PLACES = range(8)
#: The step of time that stands for one that does not fit a byte.
ESCAPE = 255

#: No writer makes bigger ones; a reader that is told of one does not believe it.
MAX_HEAD = 1 << 24
MAX_BODY = 1 << 26
#: Events of a block; and its columns, each of which may be a few bytes in the file and half a megabyte here.
MAX_ROWS = 1 << 16
MAX_COLUMNS = 256
#: Most items of lists and maps in one msgpack object, counted together: a few bytes of msgpack can become an object
#: of a hundred bytes here.
MAX_OBJECTS = 1 << 20


class Frame(NamedTuple):
    """What stands before every block."""

    type: int
    head_length: int
    body_length: int
    first: int
    events: int
    head_crc: int


def pack_frame(frame: Frame) -> bytes:
    """40 bytes: sync mark, type, lengths, number of the first event, count, CRC of the head, CRC of the above."""
    packed = _FRAME.pack(
        SYNC, frame.type, 0, 0, frame.head_length, frame.body_length, frame.first, frame.events, frame.head_crc
    )
    return packed + _CRC.pack(zlib.crc32(packed))


def unpack_frame(data: bytes) -> Frame | None:
    """The frame at the start of `data`, or None when it is none or is damaged."""
    if len(data) < FRAME_SIZE or not data.startswith(SYNC):
        return None
    if zlib.crc32(data[: _FRAME.size]) != _CRC.unpack_from(data, _FRAME.size)[0]:
        return None
    _, kind, _, _, head_length, body_length, first, events, head_crc = _FRAME.unpack_from(data)
    if head_length > MAX_HEAD or body_length > MAX_BODY:
        return None
    return Frame(kind, head_length, body_length, first, events, head_crc)


class FileHeader(NamedTuple):
    """What every file begins with; the header map follows."""

    major: int
    minor: int
    flags: int
    events: int
    map_length: int
    map_crc: int


def pack_file_header(flags: int, events: int, header_map: bytes) -> bytes:
    """The fixed header, CRC included, and the header map behind it."""
    packed = _FILE_HEADER.pack(MAGIC, MAJOR, MINOR, flags, events, len(header_map), zlib.crc32(header_map))
    return packed + _CRC.pack(zlib.crc32(packed)) + header_map


def unpack_file_header(data: bytes) -> FileHeader | None:
    """The fixed header at the start of `data`, or None when it is none or is damaged."""
    if len(data) < FILE_HEADER_SIZE or not data.startswith(MAGIC):
        return None
    if zlib.crc32(data[: _FILE_HEADER.size]) != _CRC.unpack_from(data, _FILE_HEADER.size)[0]:
        return None
    return FileHeader(*_FILE_HEADER.unpack_from(data)[1:])


def _big(number: Any) -> Any:
    """msgpack's way out for integers of more than 64 bits: extension type 1, signed big-endian."""
    import msgpack

    if isinstance(number, int):
        return msgpack.ExtType(1, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))
    raise TypeError(f"a {type(number).__name__} has no place in a native file")


def _extension(code: int, data: bytes) -> Any:
    import msgpack

    return int.from_bytes(data, "big", signed=True) if code == 1 else msgpack.ExtType(code, data)


def pack(content: Any) -> bytes:
    """msgpack, with big integers. Raises ValueError or TypeError for what msgpack cannot say."""
    import msgpack

    packed: bytes = msgpack.packb(content, default=_big, unicode_errors="surrogatepass")
    return packed


def unpack(data: Any) -> Any:
    """What `pack` was given. Raises ValueError for anything that is not exactly one msgpack object, or too large."""
    if len(data) < MAX_OBJECTS // 2:
        # An item takes a byte at least, and a list or map is an item: there cannot be too many, whatever it says.
        fast = compiled()
        found = NotImplemented if fast is None else fast.unpack(data)
        return _unpacked(data, None) if found is NotImplemented else found
    items = 0

    def counted(container: Any) -> Any:
        nonlocal items
        items += len(container) + 1
        if items > MAX_OBJECTS:
            raise ValueError("too many objects")
        return container

    return _unpacked(data, counted)


def _unpacked(data: Any, hook: Callable[[Any], Any] | None) -> Any:
    import msgpack  # takes longer than a small file, and the compiled engine does without

    try:
        return msgpack.unpackb(
            data,
            ext_hook=_extension,
            object_hook=hook,
            list_hook=hook,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            max_array_len=MAX_OBJECTS,
            max_map_len=MAX_OBJECTS,
        )
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"not msgpack: {error}") from error
