/* Blocks of a native file: frame, head, and the columns of the body. Only what a writer makes every day is taken;
 * whatever is out of the ordinary, damaged or not, is refused with one ValueError, for others to look at.
 */
#include "block.h"
#include "msgpack.h"

#include <stdlib.h>

#define CAPSULE "mmiotools.block"
/* What a block may have here. */
#define MOST_COLUMNS 64
#define MOST_BITMAPS 64
#define MOST_LISTS 64
#define FRAME_SIZE 40
/* The type of frame of a block of events. */
#define EVENTS 'E'

enum { CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA, SHARED = 6, PLACES };

/* Columns that are known, with the bits of their types; negative: signed. */
static const struct {
    const char *name;
    int bits;
} KNOWN_COLUMNS[KNOWN] = {
    [OF_KIND] = {"kind", 8},   [OF_WIDTH] = {"width", 8},  [OF_TIME] = {"time", -64}, [OF_MAP] = {"map", -64},
    [OF_PID] = {"pid", -64},   [OF_ADDR] = {"addr", 64},   [OF_VALUE] = {"value", 64}, [OF_PC] = {"pc", 64},
    [OF_OPCODE] = {"opcode", 64}, [OF_CPU] = {"cpu", -32},
};

/* An entry of the directory, with its payload. */
typedef struct {
    Span name, payload;
    uint64_t length, crc, encoding;
    Number bits, parameter[2];
    int parameters, bitmap; /* how many parameters; -1: no bitmap */
} Entry;

/* Places of the distinct rows as far as a bitmap has their rows. */
typedef struct {
    int made;
    const uint8_t *plane[2];
} Kept;

struct Block {
    Py_ssize_t n;
    int64_t unit; /* nanoseconds that times must be multiples of */
    PyObject *expand, *crc32, *contents;
    Py_buffer views[2];
    int viewed;
    int has_addresses;
    Cursor addresses; /* their planes */
    Py_ssize_t distinct, often; /* how many; the first so many, and the others, ascend */
    const uint64_t *words;
    Span present[MOST_BITMAPS];
    const uint8_t *bitmap[MOST_BITMAPS];
    Py_ssize_t set[MOST_BITMAPS];
    uint64_t bitmaps, columns;
    Entry entry[MOST_COLUMNS];
    Entry *known[KNOWN], *extras, *places;
    /* The distinct rows, once their places are there. */
    Py_ssize_t rows;
    const uint8_t *place[8];
    int place_planes;
    Kept kept[MOST_BITMAPS];
    Stored stored[KNOWN];
    uint8_t decoded[KNOWN];
    int busy; /* something is being decoded, for which Python is called */
    void *lists[MOST_LISTS];
    int listed;
};

static int
unfit(void)
{
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a block that is out of the ordinary");
    return 0;
}

/* -- bytes and numbers ---------------------------------------------------------------------------------------- */

static uint64_t
little_endian(const uint8_t *from, int size)
{
    uint64_t number = 0;
    while (size--)
        number = number << 8 | from[size];
    return number;
}

/* Whether bytes have this checksum. */
static int
checks(Block *block, Span bytes, uint64_t crc)
{
    static const uint8_t nothing[1];
    PyObject *view = PyMemoryView_FromMemory((char *)(bytes.length ? bytes.start : nothing), (Py_ssize_t)bytes.length,
                                             PyBUF_READ);
    PyObject *found = view ? PyObject_CallFunctionObjArgs(block->crc32, view, NULL) : NULL;
    Py_XDECREF(view);
    if (!found)
        return 0;
    unsigned long long number = PyLong_AsUnsignedLongLong(found);
    Py_DECREF(found);
    return !PyErr_Occurred() && number == crc;
}

/* How many bytes a zstd frame says it holds, by RFC 8878; 0 where it does not say. */
static int
content_size(Span frame, uint64_t *size)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    if (frame.length < 6 || memcmp(frame.start, magic, sizeof magic))
        return 0;
    uint8_t descriptor = frame.start[4];
    int single = descriptor >> 5 & 1, flag = descriptor >> 6, wide = flag ? 1 << flag : single;
    size_t at = 6 - (size_t)single;
    if (descriptor & 3 || !wide || frame.length < at + (size_t)wide)
        return 0;
    *size = little_endian(frame.start + at, wide) + (wide == 2 ? 256 : 0);
    return 1;
}

/* The content of a zstd frame, which is of `size` bytes; NULL with an exception set. */
static const uint8_t *
expanded(Block *block, Span frame, uint64_t size)
{
    uint64_t said;
    if (!content_size(frame, &said) || said != size || !size) {
        unfit();
        return NULL;
    }
    PyObject *view = PyMemoryView_FromMemory((char *)frame.start, (Py_ssize_t)frame.length, PyBUF_READ);
    PyObject *content = view ? PyObject_CallFunctionObjArgs(block->expand, view, NULL) : NULL;
    Py_XDECREF(view);
    if (!content)
        return NULL;
    const uint8_t *bytes = NULL;
    if (!PyBytes_Check(content) || (uint64_t)PyBytes_Size(content) != size)
        unfit();
    else if (!PyList_Append(block->contents, content))
        bytes = (const uint8_t *)PyBytes_AsString(content);
    Py_DECREF(content);
    return bytes;
}

/* Room for numbers, as long as the block is there. */
static uint64_t *
room(Block *block, uint64_t count)
{
    if (block->listed == MOST_LISTS) {
        unfit();
        return NULL;
    }
    uint64_t *list = malloc((size_t)count * sizeof *list);
    if (!list)
        PyErr_NoMemory();
    else
        block->lists[block->listed++] = list;
    return list;
}

/* Byte planes of `count` numbers, 1 or more: how many, -1 with an exception set. */
static int
take_planes(Block *block, Cursor *from, uint64_t count, const uint8_t *plane[8])
{
    uint64_t planes;
    Span frame;
    if (!is_list(from)) {
        uint64_t size;
        const uint8_t *bytes;
        if (!take_binary(from, &frame) || !content_size(frame, &size) || size % count || size / count > 8)
            return unfit() - 1;
        if (!(bytes = expanded(block, frame, size)))
            return -1;
        planes = size / count;
        for (uint64_t place = 0; place < planes; place++)
            plane[place] = bytes + place * count;
        return (int)planes;
    }
    if (!take_list(from, &planes) || planes > 8)
        return unfit() - 1;
    for (uint64_t place = 0; place < planes; place++)
        if (!take_binary(from, &frame))
            return unfit() - 1;
        else if (!(plane[place] = expanded(block, frame, count)))
            return -1;
    return (int)planes;
}

/* The numbers behind planes; NULL with an exception set. */
static uint64_t *
take_numbers(Block *block, Cursor *from, uint64_t count, int zigzag)
{
    const uint8_t *plane[8];
    int planes = take_planes(block, from, count, plane);
    uint64_t *list = planes < 0 ? NULL : room(block, count);
    if (!list)
        return NULL;
    memset(list, 0, (size_t)count * sizeof *list);
    for (int place = 0; place < planes; place++)
        for (uint64_t i = 0; i < count; i++)
            list[i] |= (uint64_t)plane[place][i] << 8 * place;
    for (uint64_t i = 0; zigzag && i < count; i++)
        list[i] = list[i] >> 1 ^ (0 - (list[i] & 1));
    return list;
}

/* -- head and body ---------------------------------------------------------------------------------------------- */

/* The zone map: a writer's numbers, of which nothing is used here. */
static int
pass_zone(Cursor *from)
{
    uint64_t pairs, items;
    Span name;
    Number number;
    int has_kinds = 0;
    if (!take_map(from, &pairs) || pairs > 3)
        return 0;
    while (pairs--) {
        if (!take_name(from, &name))
            return 0;
        if (is_called(name, "kinds")) {
            has_kinds = 1;
            if (!take_number(from, &number))
                return 0;
        } else if (!(is_called(name, "time") || is_called(name, "addr")) || !take_list(from, &items) || items != 2 ||
                   !take_number(from, &number) || !take_number(from, &number))
            return 0;
    }
    return has_kinds;
}

/* An entry of the directory, behind its name. */
static int
take_entry(Cursor *from, Entry *to)
{
    uint64_t items, numbers, bitmap;
    if (!take_list(from, &items) || (items != 5 && items != 6) || !take_count(from, UINT32_MAX, &to->encoding) ||
        !take_number(from, &to->bits) || !take_count(from, UINT32_MAX, &to->length) ||
        !take_count(from, UINT32_MAX, &to->crc))
        return 0;
    to->bitmap = -1;
    if (is_list(from)) {
        if (!take_list(from, &numbers) || numbers != 2 || !take_number(from, &to->parameter[0]) ||
            !take_number(from, &to->parameter[1]))
            return 0;
        to->parameters = 2;
    } else if (!take_nil(from)) {
        if (!take_number(from, &to->parameter[0]))
            return 0;
        to->parameters = 1;
    }
    if (items == 6) {
        if (!take_count(from, MOST_BITMAPS - 1, &bitmap))
            return 0;
        to->bitmap = (int)bitmap;
    }
    return 1;
}

static int
take_directory(Block *block, Cursor *from)
{
    if (!take_map(from, &block->columns) || block->columns > MOST_COLUMNS)
        return 0;
    for (uint64_t i = 0; i < block->columns; i++) {
        Entry *entry = &block->entry[i];
        if (!take_name(from, &entry->name) || !take_entry(from, entry))
            return 0;
        for (uint64_t before = 0; before < i; before++)
            if (block->entry[before].name.length == entry->name.length &&
                !memcmp(block->entry[before].name.start, entry->name.start, entry->name.length))
                return 0;
        for (int which = 0; which < KNOWN; which++)
            if (is_called(entry->name, KNOWN_COLUMNS[which].name))
                block->known[which] = entry;
        if (is_called(entry->name, "extras"))
            block->extras = entry;
        if (entry->encoding == PLACES) {
            if (block->places || entry->parameters != 1 || entry->bitmap >= 0 || entry->parameter[0].negative ||
                !entry->parameter[0].number || entry->parameter[0].number > (uint64_t)block->n)
                return 0;
            block->places = entry;
        }
    }
    return 1;
}

enum { HEAD_N = 1, HEAD_ZONE = 2, HEAD_ADDRESSES = 4, HEAD_PRESENT = 8, HEAD_COLUMNS = 16 };

static int
take_head(Block *block, Cursor from)
{
    uint64_t pairs, number;
    int seen = 0, key;
    Span name;
    if (!take_map(&from, &pairs))
        return 0;
    while (pairs--) {
        if (!take_name(&from, &name))
            return 0;
        if (is_called(name, "n")) {
            key = HEAD_N;
            if (!take_count(&from, MOST_ROWS, &number) || number != (uint64_t)block->n)
                return 0;
        } else if (is_called(name, "zone")) {
            key = HEAD_ZONE;
            if (!pass_zone(&from))
                return 0;
        } else if (is_called(name, "addresses")) {
            key = HEAD_ADDRESSES;
            uint64_t items;
            if (!take_list(&from, &items) || (items != 2 && items != 3) ||
                !take_count(&from, (uint64_t)block->n, &number) || !number)
                return 0;
            block->has_addresses = 1;
            block->distinct = (Py_ssize_t)number;
            block->addresses = from;
            Span frame;
            uint64_t planes = 1;
            if (is_list(&from) && (!take_list(&from, &planes) || planes > 8))
                return 0;
            while (planes--)
                if (!take_binary(&from, &frame))
                    return 0;
            if (items == 3 && (!take_count(&from, (uint64_t)block->distinct - 1, &number) || !number))
                return 0;
            block->often = items == 3 ? (Py_ssize_t)number : block->distinct;
        } else if (is_called(name, "present")) {
            key = HEAD_PRESENT;
            if (!take_list(&from, &block->bitmaps) || block->bitmaps > MOST_BITMAPS)
                return 0;
            for (uint64_t i = 0; i < block->bitmaps; i++)
                if (!take_binary(&from, &block->present[i]))
                    return 0;
        } else if (is_called(name, "columns")) {
            key = HEAD_COLUMNS;
            if (!take_directory(block, &from))
                return 0;
        } else
            return 0;
        if (seen & key)
            return 0;
        seen |= key;
    }
    return !from.length && (seen & HEAD_N) && (seen & HEAD_ZONE) && block->known[OF_KIND];
}

/* The payloads, in the order of the directory. */
static int
take_body(Block *block, Cursor from)
{
    uint64_t pairs, payloads = 0;
    if (!take_map(&from, &pairs))
        return 0;
    for (uint64_t i = 0; i < block->columns; i++) {
        Entry *entry = &block->entry[i];
        if (!entry->length) {
            if (entry->crc)
                return 0;
            continue;
        }
        Span name;
        payloads++;
        if (!take_name(&from, &name) || name.length != entry->name.length ||
            memcmp(name.start, entry->name.start, name.length) || !take_binary(&from, &entry->payload) ||
            entry->payload.length != entry->length || !checks(block, entry->payload, entry->crc))
            return 0;
    }
    return !from.length && pairs == payloads;
}

/* -- the capsule ------------------------------------------------------------------------------------------------- */

static void
drop(Block *block)
{
    if (!block)
        return;
    for (int i = 0; i < block->listed; i++)
        free(block->lists[i]);
    while (block->viewed)
        PyBuffer_Release(&block->views[--block->viewed]);
    Py_XDECREF(block->contents);
    Py_XDECREF(block->expand);
    Py_XDECREF(block->crc32);
    free(block);
}

static void
forget(PyObject *capsule)
{
    drop(PyCapsule_GetPointer(capsule, CAPSULE));
}

static Block *
new_block(Py_ssize_t n, long long unit, PyObject *expand, PyObject *crc32)
{
    if (n < 1 || n > MOST_ROWS || unit < 1) {
        unfit();
        return NULL;
    }
    Block *block = calloc(1, sizeof *block);
    if (!block) {
        PyErr_NoMemory();
        return NULL;
    }
    block->n = n;
    block->unit = unit;
    block->expand = Py_NewRef(expand);
    block->crc32 = Py_NewRef(crc32);
    if ((block->contents = PyList_New(0)))
        return block;
    drop(block);
    return NULL;
}

static PyObject *
finished(Block *block, int good)
{
    if (!good)
        unfit();
    PyObject *capsule = good ? PyCapsule_New(block, CAPSULE, forget) : NULL;
    if (!capsule)
        drop(block);
    return capsule;
}

static int
hold_span(Block *block, PyObject *object, Span *to)
{
    Py_buffer *view = &block->views[block->viewed];
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE))
        return 0;
    block->viewed++;
    *to = (Span){view->buf, (size_t)view->len};
    return 1;
}

/* read_parts(head, body, n, unit, expand, crc32) -> block
 *
 * A block of n events whose head is known to be whole. Payloads are looked at with their checksums. `unit` is what times
 * must be multiples of, nanoseconds; `expand(frame)` gives the content of a zstd frame, `crc32(data)` its checksum.
 */
static PyObject *
read_parts(PyObject *self, PyObject *args)
{
    PyObject *head_object, *body_object, *expand, *crc32;
    Py_ssize_t n;
    long long unit;
    Span head, body;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnLOO", &head_object, &body_object, &n, &unit, &expand, &crc32))
        return NULL;
    Block *block = new_block(n, unit, expand, crc32);
    if (!block)
        return NULL;
    return finished(block, hold_span(block, head_object, &head) && hold_span(block, body_object, &body) &&
                               take_head(block, head) && take_body(block, body));
}

/* read_block(data, first, n, unit, expand, crc32) -> block
 *
 * The block of the events from number `first` on that `data` is, with its frame; else as read_parts.
 */
static PyObject *
read_block(PyObject *self, PyObject *args)
{
    static const uint8_t sync[8] = {0x8a, 'M', 'M', 'B', 'L', 'K', '\r', '\n'};
    PyObject *data, *expand, *crc32;
    Py_ssize_t n;
    unsigned long long first;
    long long unit;
    Span all, frame, head;
    (void)self;
    if (!PyArg_ParseTuple(args, "OKnLOO", &data, &first, &n, &unit, &expand, &crc32))
        return NULL;
    Block *block = new_block(n, unit, expand, crc32);
    if (!block)
        return NULL;
    int good = hold_span(block, data, &all) && take_bytes(&all, FRAME_SIZE, &frame) &&
               !memcmp(frame.start, sync, sizeof sync) &&
               checks(block, (Span){frame.start, FRAME_SIZE - 4}, little_endian(frame.start + FRAME_SIZE - 4, 4)) &&
               frame.start[8] == EVENTS && little_endian(frame.start + 20, 8) == first &&
               little_endian(frame.start + 28, 4) == (uint64_t)n &&
               take_bytes(&all, little_endian(frame.start + 12, 4), &head) &&
               little_endian(frame.start + 16, 4) == all.length && checks(block, head, little_endian(frame.start + 32, 4));
    return finished(block, good && take_head(block, head) && take_body(block, all));
}

Block *
block_of(PyObject *capsule, Py_ssize_t *n)
{
    Block *block = PyCapsule_GetPointer(capsule, CAPSULE);
    if (block)
        *n = block->n;
    return block;
}

/* -- columns ------------------------------------------------------------------------------------------------------ */

static int
take_bitmap(Block *block, int number, Stored *to)
{
    if ((uint64_t)number >= block->bitmaps)
        return unfit();
    if (!block->bitmap[number]) {
        const uint8_t *bits = expanded(block, block->present[number], (uint64_t)(block->n + 7) / 8);
        if (!bits)
            return 0;
        block->set[number] = rows_before(bits, 0, block->n);
        block->bitmap[number] = bits;
    }
    to->bitmap = block->bitmap[number];
    to->count = block->set[number];
    return to->count ? 1 : unfit();
}

/* The distinct addresses, where the block has a list of them; 0 with an exception set. */
static int
take_addresses(Block *block)
{
    if (block->words || !block->has_addresses)
        return 1;
    Cursor from = block->addresses;
    uint64_t *list = take_numbers(block, &from, (uint64_t)block->distinct, 0);
    if (!list)
        return 0;
    for (Py_ssize_t i = 1; i < block->distinct; i++)
        if (i != block->often)
            list[i] += list[i - 1];
    block->words = list;
    return 1;
}

static int
is_of_type(Number number, int bits)
{
    if (bits > 0)
        return !number.negative && (bits == 64 || !(number.number >> bits));
    int64_t high = (int64_t)number.number >> (-bits - 1);
    return number.negative ? high == -1 : (int64_t)number.number >= 0 && high == 0;
}

static int
take_steps(Block *block, const Entry *entry, Cursor from, Stored *to)
{
    uint64_t pairs;
    Span name, frame;
    if (entry->parameters != 2 || !is_of_type(entry->parameter[0], -64) || !is_of_type(entry->parameter[1], -64) ||
        (int64_t)entry->parameter[1].number % block->unit || !take_map(&from, &pairs) || pairs < 1 || pairs > 2 ||
        !take_name(&from, &name) || !is_called(name, "v") || !take_binary(&from, &frame))
        return unfit();
    to->steps = to->planes = 1;
    to->first = entry->parameter[0].number;
    to->unit = entry->parameter[1].number;
    if (!(to->plane[0] = expanded(block, frame, (uint64_t)to->count)))
        return 0;
    to->many = count_of_byte(to->plane[0], to->count, ESCAPE);
    if ((pairs == 2) != (to->many > 0))
        return unfit();
    if (to->many) {
        if (!take_name(&from, &name) || !(is_called(name, "x") || is_called(name, "z")))
            return unfit();
        if (!(to->large = take_numbers(block, &from, (uint64_t)to->many, is_called(name, "z"))))
            return 0;
    }
    return from.length ? unfit() : 1;
}

/* Reads a column of planes, or of codes. */
static int
take_codes(Block *block, const Entry *entry, Cursor from, Stored *to)
{
    uint64_t pairs, items, size;
    Span name;
    int coded = entry->encoding == DICTIONARY;
    if (entry->parameters || !take_map(&from, &pairs) || pairs != (uint64_t)(coded ? 2 : 1))
        return unfit();
    if (coded) {
        if (!take_name(&from, &name) || !is_called(name, "k") || !take_list(&from, &items) || items != 2 ||
            !take_count(&from, (uint64_t)to->count, &size) || !size)
            return unfit();
        if (!(to->words = take_numbers(block, &from, size, 0)))
            return 0;
        to->known = size;
    } else if (entry->encoding == ADDRESS) {
        if (!block->words)
            return unfit();
        to->words = block->words;
        to->known = (uint64_t)block->distinct;
        to->zigzag = 0;
    }
    if (!take_name(&from, &name) || !is_called(name, "v"))
        return unfit();
    to->planes = take_planes(block, &from, (uint64_t)to->count, to->plane);
    if (to->planes < 0)
        return 0;
    return from.length ? unfit() : 1;
}

/* The greatest number of up to two planes, which compilers look at many at a time; of more, one that is too great. */
static uint64_t
most_of(const uint8_t *const plane[8], int planes, Py_ssize_t count)
{
    uint16_t most = 0;
    if (planes > 2)
        return UINT64_MAX;
    for (Py_ssize_t i = 0; planes == 1 && i < count; i++)
        most = plane[0][i] > most ? plane[0][i] : most;
    for (Py_ssize_t i = 0; planes == 2 && i < count; i++) {
        uint16_t number = (uint16_t)(plane[0][i] | plane[1][i] << 8);
        most = number > most ? number : most;
    }
    return most;
}

/* The places of all rows among the distinct ones. */
static int
take_places(Block *block)
{
    const Entry *entry = block->places;
    uint64_t pairs;
    Span name;
    if (block->rows)
        return 1;
    if (!entry)
        return unfit();
    Cursor from = entry->payload;
    if (!take_map(&from, &pairs) || pairs != 1 || !take_name(&from, &name) || !is_called(name, "v"))
        return unfit();
    block->place_planes = take_planes(block, &from, (uint64_t)block->n, block->place);
    if (block->place_planes < 0)
        return 0;
    if (from.length || block->place_planes > 2)
        return unfit();
    if (most_of(block->place, block->place_planes, block->n) >= entry->parameter[0].number)
        return unfit();
    block->rows = (Py_ssize_t)entry->parameter[0].number;
    return 1;
}

/* The places of the rows that a bitmap has; once for each bitmap. */
static int
keep_places(Block *block, int number, const Stored *of)
{
    Kept *kept = &block->kept[number];
    if (kept->made)
        return 1;
    for (int i = 0; i < block->place_planes; i++) {
        const uint8_t *from = block->place[i];
        uint8_t *to = (uint8_t *)room(block, (uint64_t)of->count / 8 + 1);
        if (!to)
            return 0;
        kept->plane[i] = to;
        for (Py_ssize_t row = 0; row < of->rows;) {
            uint64_t bits = 0;
            if (!(row & 63) && of->rows - row >= 64)
                memcpy(&bits, of->bitmap + row / 8, sizeof bits);
            if (bits == UINT64_MAX) {
                memcpy(to, from + row, 64);
                to += 64;
                row += 64;
                continue;
            }
            if (has_row(of->bitmap, row))
                *to++ = from[row];
            row++;
        }
    }
    kept->made = 1;
    return 1;
}

/* Reads a column with a number for each distinct row. */
static int
take_shared(Block *block, const Entry *entry, Cursor from, Stored *to)
{
    if (!take_places(block))
        return 0;
    if (entry->parameters != 1 || entry->parameter[0].negative || entry->parameter[0].number < PLAIN ||
        entry->parameter[0].number > ADDRESS)
        return unfit();
    Entry alone = *entry;
    alone.encoding = entry->parameter[0].number;
    alone.parameters = 0;
    Stored of_rows = *to;
    of_rows.bitmap = NULL;
    of_rows.count = block->rows;
    if (!take_codes(block, &alone, from, &of_rows))
        return 0;
    if (of_rows.words && most_of(of_rows.plane, of_rows.planes, block->rows) >= of_rows.known)
        return unfit();
    to->zigzag = of_rows.zigzag;
    to->words = of_rows.words;
    to->known = of_rows.known;
    to->row_planes = of_rows.planes;
    memcpy(to->row_plane, of_rows.plane, sizeof to->row_plane);
    to->distinct = (uint64_t)block->rows;
    to->planes = block->place_planes;
    if (to->bitmap && !keep_places(block, entry->bitmap, to))
        return 0;
    for (int i = 0; i < to->planes; i++)
        to->plane[i] = to->bitmap ? block->kept[entry->bitmap].plane[i] : block->place[i];
    return 1;
}

Py_ssize_t
block_rows(const Block *block, Places *places)
{
    *places = (Places){block->place_planes, {block->place[0], block->place[1]}};
    return block->rows;
}

static int
decode(Block *block, int which)
{
    const Entry *entry = block->known[which];
    int bits = KNOWN_COLUMNS[which].bits, size = bits < 0 ? -bits : bits;
    Stored *to = &block->stored[which];
    *to = (Stored){.planes = -1, .rows = block->n, .count = block->n, .zigzag = bits < 0};
    to->mask = size == 64 ? UINT64_MAX : ((uint64_t)1 << size) - 1;
    to->sign = bits < 0 && size < 64 ? (uint64_t)1 << (size - 1) : 0;
    if (entry->bits.number != (uint64_t)(int64_t)bits || entry->bits.negative != (bits < 0))
        return unfit();
    if (entry->bitmap >= 0 && !take_bitmap(block, entry->bitmap, to))
        return 0;
    Cursor payload = entry->payload;
    if (entry->encoding == CONSTANT) {
        if (entry->parameters != 1 || payload.length || !is_of_type(entry->parameter[0], bits))
            return unfit();
        to->constant = entry->parameter[0].number;
        return which != OF_TIME || !((int64_t)to->constant % block->unit) || unfit();
    }
    if (which == OF_TIME)
        return entry->encoding == DELTA ? take_steps(block, entry, payload, to) : unfit();
    if (entry->encoding == SHARED)
        return take_shared(block, entry, payload, to);
    if (entry->encoding != PLAIN && entry->encoding != DICTIONARY && entry->encoding != ADDRESS)
        return unfit();
    return take_codes(block, entry, payload, to);
}

/* Makes the addresses ready, and a column where `which` is not negative; 0 with an exception set. */
static int
decode_once(Block *block, int which)
{
    if (which >= 0 && block->decoded[which])
        return 1;
    if (block->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is decoding this block");
        return 0;
    }
    block->busy = 1;
    /* Addresses that cannot be are told, whoever needs them. */
    const int good = take_addresses(block) && (which < 0 || decode(block, which));
    block->busy = 0;
    if (good && which >= 0)
        block->decoded[which] = 1;
    return good;
}

int
block_column(Block *block, int which, const Stored **to)
{
    *to = NULL;
    if (!block->known[which])
        return 1;
    if (!decode_once(block, which))
        return 0;
    *to = &block->stored[which];
    return 1;
}

int
column_named(PyObject *name)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(name, &length);
    if (!text)
        return -1;
    for (int which = 0; which < KNOWN; which++)
        if (is_called((Span){(const uint8_t *)text, (size_t)length}, KNOWN_COLUMNS[which].name))
            return which;
    PyErr_SetString(PyExc_ValueError, "no such column");
    return -1;
}

int
column_is_signed(int which)
{
    return KNOWN_COLUMNS[which].bits < 0;
}

/* block_names(block) -> the names of its columns */
static PyObject *
block_names(PyObject *self, PyObject *capsule)
{
    Py_ssize_t n;
    Block *block = block_of(capsule, &n);
    PyObject *names = block ? PyList_New(0) : NULL;
    (void)self;
    for (uint64_t i = 0; names && i < block->columns; i++) {
        if (&block->entry[i] == block->places)
            continue;
        Span span = block->entry[i].name;
        PyObject *name = PyUnicode_FromStringAndSize((const char *)span.start, (Py_ssize_t)span.length);
        if (!name || PyList_Append(names, name)) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    return names;
}

/* block_addresses(block) -> the distinct addresses, ascending, 64 bits each, as bytes; None where it has no list */
static PyObject *
block_addresses(PyObject *self, PyObject *capsule)
{
    Py_ssize_t n;
    Block *block = block_of(capsule, &n);
    (void)self;
    if (!block || !decode_once(block, -1))
        return NULL;
    if (!block->has_addresses)
        return Py_NewRef(Py_None);
    const uint64_t *often = block->words, *border = often + block->often, *other = border, *end = often + block->distinct;
    PyObject *all = PyBytes_FromStringAndSize(NULL, block->distinct * (Py_ssize_t)sizeof *often);
    char *out = all ? PyBytes_AsString(all) : NULL;
    for (; out && (often < border || other < end); out += sizeof *often)
        memcpy(out, other == end || (often < border && *often < *other) ? often++ : other++, sizeof *often);
    return all;
}

/* block_extras(block) -> the payload of its extras; None where it has none */
static PyObject *
block_extras(PyObject *self, PyObject *capsule)
{
    Py_ssize_t n;
    Block *block = block_of(capsule, &n);
    (void)self;
    if (!block)
        return NULL;
    if (!block->extras)
        return Py_NewRef(Py_None);
    Span payload = block->extras->payload;
    return PyBytes_FromStringAndSize((const char *)payload.start, (Py_ssize_t)payload.length);
}

PyMethodDef block_functions[] = {
    {"read_block", read_block, METH_VARARGS, "A native block, with its frame."},
    {"read_parts", read_parts, METH_VARARGS, "A native block."},
    {"block_names", block_names, METH_O, "Names of its columns."},
    {"block_addresses", block_addresses, METH_O, "Its distinct addresses."},
    {"block_extras", block_extras, METH_O, "The payload of its extras."},
    {NULL, NULL, 0, NULL},
};
