/* Accesses taken from batches and from native blocks, as columns. The twin is in trace/collect.py. */
#include "accesses.h"
#include "alike.h"
#include "block.h"

#include <stdlib.h>

/* -- from a batch -------------------------------------------------------------------------------------------- */

/* Segments of addresses: each from its start to the next one's, with the code of what lies there, -1 for nothing. */
typedef struct {
    const uint64_t *start, *base;
    const int32_t *code;
    Py_ssize_t count;
} Segments;

/* The last segment that starts at or before an address; -1 where none does. */
static Py_ssize_t
segment_of(const Segments *segments, uint64_t address)
{
    Py_ssize_t low = 0, high = segments->count;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (segments->start[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

/* The segment that an address lies in, which stays that of the addresses low..high; 0 where it is in none with a code. */
typedef struct {
    uint64_t low, high;
    int32_t code;
    uint64_t base;
} Inside;

static inline int
find_segment(const Segments *segments, uint64_t address, Inside *inside)
{
    if (address >= inside->low && address <= inside->high)
        return 1;
    Py_ssize_t at = segment_of(segments, address);
    if (at < 0 || segments->code[at] < 0)
        return 0;
    inside->low = segments->start[at];
    inside->high = at + 1 < segments->count ? segments->start[at + 1] - 1 : UINT64_MAX;
    inside->code = segments->code[at];
    inside->base = segments->base[at];
    return 1;
}

static const Inside NOWHERE = {1, 0, -1, 0};

typedef struct {
    Column kind, width, has_width, addr, has_addr, value, has_value;
} Rows;

/* How many accesses there were, or -1 where one is out of the ordinary. */
static Py_ssize_t
take_rows(const Rows *from, Py_ssize_t rows, const Segments *segments, const Taken *to, Py_ssize_t at)
{
    const Py_ssize_t first = at;
    Inside inside = NOWHERE;
    for (Py_ssize_t row = 0; row < rows; row++) {
        uint8_t kind = ITEM(uint8_t, from->kind, row);
        if (kind > UNKNOWN) {
            if (kind == DEVICE)
                return -1;
            continue;
        }
        if (!ITEM(uint8_t, from->has_width, row) || !ITEM(uint8_t, from->has_addr, row) ||
            !ITEM(uint8_t, from->has_value, row))
            return -1;
        uint64_t address = ITEM(uint64_t, from->addr, row);
        if (!find_segment(segments, address, &inside))
            return -1;
        to->op[at] = kind;
        to->width[at] = ITEM(uint8_t, from->width, row);
        to->region[at] = inside.code;
        to->offset[at] = address - inside.base;
        to->value[at] = ITEM(uint64_t, from->value, row);
        at++;
    }
    return at - first;
}

/* The table of so many segments: start, code and base; 0 with an exception set. */
static int
hold_segments(Buffers *buffers, PyObject *const table[3], Segments *to)
{
    return (to->start = hold(buffers, table[0], to->count, 8, 0)) != NULL &&
           (to->code = hold(buffers, table[1], to->count, 4, 0)) != NULL &&
           (to->base = hold(buffers, table[2], to->count, 8, 0)) != NULL;
}

/* take_accesses(rows, segments, columns, table, at, out) -> accesses taken, or -1
 *
 * columns  kind, width, has_width, addr, has_addr, value, has_value of a batch; the presences may be one byte for all
 * table    start, code and base of segments of addresses
 * out      op, width, region, offset, value: what is taken is put there from row `at` on
 *
 * It is -1, and what is behind `at` means nothing, where an access lacks something or lies in no segment with a code,
 * or a device appears.
 */
static PyObject *
take_accesses(PyObject *self, PyObject *args)
{
    static const Py_ssize_t sizes[7] = {1, 1, 1, 8, 1, 8, 1};
    PyObject *in[7], *table[3], *out[5];
    Py_ssize_t rows, at, taken = -1;
    Column columns[7];
    Taken to;
    Segments segments;
    (void)self;
    if (!PyArg_ParseTuple(args, "nn(OOOOOOO)(OOO)n(OOOOO)", &rows, &segments.count, &in[0], &in[1], &in[2], &in[3],
                          &in[4], &in[5], &in[6], &table[0], &table[1], &table[2], &at, &out[0], &out[1], &out[2],
                          &out[3], &out[4]))
        return NULL;
    if (rows < 0 || at < 0 || rows > PY_SSIZE_T_MAX - at) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    int good = hold_segments(&buffers, table, &segments);
    for (int i = 0; good && i < 7; i++)
        good = hold_column(&buffers, in[i], rows, sizes[i], &columns[i]);
    good = good && hold_taken(&buffers, out, at + rows, &to);
    if (good) {
        const Rows from = {columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6]};
        Py_BEGIN_ALLOW_THREADS
        taken = take_rows(&from, rows, &segments, &to, at);
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(taken) : NULL;
}

/* -- from a block as it is stored ---------------------------------------------------------------------------- */

static const uint8_t NO = 0, YES = 1;
static const uint64_t ZERO = 0;

/* Numbers of 64 bits that lie at the beginning of `to`, as bytes. */
static void
narrow(uint64_t *to, Py_ssize_t n)
{
    uint8_t *bytes = (uint8_t *)to;
    for (Py_ssize_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)to[i];
}

/* A stored column of n rows as items of `size` bytes, 8 or the lowest one; `room` has 8 * n bytes. 0 where a code is beyond
 * its dictionary.
 */
static int
unpacked(const Stored *from, Py_ssize_t n, Py_ssize_t size, uint64_t *room, Column *to)
{
    *to = (Column){(const uint8_t *)&ZERO, 0};
    if (!from || !n)
        return 1;
    if (from->planes < 0) {
        room[0] = from->constant;
        narrow(room, size == 1);
        *to = (Column){(const uint8_t *)room, 0};
        return 1;
    }
    if (size == 1 && from->planes == 1 && !from->words && !from->distinct && !from->bitmap && !from->steps && !from->zigzag) {
        *to = (Column){from->plane[0], 1};
        return 1;
    }
    *to = (Column){(const uint8_t *)room, size};
    const Py_ssize_t held = from->count;
    if (from->steps)
        return 0;
    if (from->distinct) {
        uint64_t *numbers = malloc((size_t)from->distinct * sizeof *numbers);
        if (!numbers)
            return 0;
        for (uint64_t row = 0; row < from->distinct; row++)
            numbers[row] = number_of_row(from, row);
        for (Py_ssize_t i = 0; i < held; i++)
            room[i] = numbers[code_at(from, from->planes, i)];
        free(numbers);
    } else {
        for (Py_ssize_t i = 0; i < held; i++)
            room[i] = from->planes ? from->plane[0][i] : 0;
        for (int place = 1; place < from->planes; place++)
            for (Py_ssize_t i = 0; i < held; i++)
                room[i] |= (uint64_t)from->plane[place][i] << 8 * place;
        uint64_t most = 0;
        for (Py_ssize_t i = 0; from->words && i < held; i++)
            most = room[i] > most ? room[i] : most;
        if (from->words && held && most >= from->known)
            return 0;
        for (Py_ssize_t i = 0; from->words && i < held; i++)
            room[i] = from->words[room[i]];
        for (Py_ssize_t i = 0; (from->zigzag || from->mask != UINT64_MAX) && i < held; i++)
            room[i] = meant(from, room[i]);
    }
    if (size == 1)
        narrow(room, held);
    if (from->bitmap)
        spread(from, n, (uint8_t *)room, (int)size);
    return 1;
}

/* Which rows of n a stored column has, a byte each. */
static void
presence(const Stored *from, Py_ssize_t n, uint8_t *room, Column *to)
{
    *to = (Column){from ? &YES : &NO, 0};
    if (!from || !from->bitmap)
        return;
    *to = (Column){room, 1};
    for (Py_ssize_t row = 0; row < n; row++)
        room[row] = (uint8_t)has_row(from->bitmap, row);
}

static Column
from_row(Column column, Py_ssize_t row)
{
    return (Column){column.first + column.step * row, column.step};
}

/* A distinct row of a block as what is taken of each event that it stands for: its op is SKIPPED where that is none, and WRONG
 * where it is out of the ordinary; `number` is which of those that were taken it is, -1 as long as it was not.
 */
typedef struct {
    uint64_t offset, value, hash;
    int32_t region, number;
    int16_t width;
    uint8_t op;
} Ready;

enum { SKIPPED = 254, WRONG = 255 };

/* The columns of a block that are taken. */
enum { KIND, WIDTH, ADDR, VALUE, TAKEN };

/* The hashes of the identities of regions. */
typedef struct {
    const uint64_t *of;
    Py_ssize_t count;
} Hashes;

/* The distinct rows of a block whose columns are shared, or the same everywhere, ready to be taken. */
static void
make_ready(const Stored *const from[TAKEN], Py_ssize_t rows, const Segments *segments, const Hashes *hashes, Ready *ready)
{
    Inside inside = NOWHERE;
    for (Py_ssize_t row = 0; row < rows; row++, ready++) {
        const uint64_t number = (uint64_t)row, kind = number_of_row(from[KIND], number);
        const uint64_t address = number_of_row(from[ADDR], number);
        ready->op = kind > UNKNOWN && kind != DEVICE ? SKIPPED : WRONG;
        ready->number = -1;
        if (kind > UNKNOWN || !find_segment(segments, address, &inside) || inside.code >= hashes->count)
            continue;
        ready->op = (uint8_t)kind;
        ready->width = (uint8_t)number_of_row(from[WIDTH], number);
        ready->region = inside.code;
        ready->offset = address - inside.base;
        ready->value = number_of_row(from[VALUE], number);
        ready->hash = hash_of(hashes->of[inside.code], ready->op, ready->width, ready->offset, ready->value, 1);
    }
}

/* Whether a column has a number for every access of the rows start..stop-1. */
static int
all_have(const Stored *from, const Places *places, const Ready *ready, Py_ssize_t start, Py_ssize_t stop)
{
    for (Py_ssize_t row = start; from->bitmap && row < stop; row++)
        if (!(row & 7) && from->bitmap[row >> 3] == 255)
            row += 7;
        else if (!has_row(from->bitmap, row) && ready[place_of(places, row)].op != SKIPPED)
            return 0;
    return 1;
}

/* What is taken of the block, and where it is put: as many rows as there are accesses, or, with `codes`, a row for all that are
 * alike, and for each access its number, counted from `base`.
 */
typedef struct {
    Taken rows;
    uint64_t *hash;
    int32_t *codes, base;
} Output;

static inline void
put_ready(const Ready *one, const Output *to, Py_ssize_t at)
{
    to->rows.op[at] = one->op;
    to->rows.width[at] = one->width;
    to->rows.region[at] = one->region;
    to->rows.offset[at] = one->offset;
    to->rows.value[at] = one->value;
    to->hash[at] = one->hash;
}

/* How many accesses there were, or -1 where one is out of the ordinary; `rows` is how many rows they are. */
static inline Py_ssize_t
take_ready(const Places *places, Ready *ready, Py_ssize_t start, Py_ssize_t stop, const Output *to, Py_ssize_t *rows)
{
    Py_ssize_t at = 0;
    *rows = 0;
    for (Py_ssize_t row = start; row < stop; row++) {
        Ready *one = ready + place_of(places, row);
        if (one->op > UNKNOWN) {
            if (one->op == WRONG)
                return -1;
            continue;
        }
        if (to->codes) {
            if (one->number < 0) {
                put_ready(one, to, *rows);
                one->number = (int32_t)(*rows)++;
            }
            to->codes[at] = to->base + one->number;
        } else
            put_ready(one, to, (*rows)++);
        at++;
    }
    return at;
}

/* The rows start..stop-1 of a block by its distinct rows: how many accesses, -1 where one is out of the ordinary, -2 where it
 * has to be done row by row.
 */
static Py_ssize_t
take_by_rows(const Block *block, const Stored *const from[TAKEN], Py_ssize_t start, Py_ssize_t stop,
             const Segments *segments, const Hashes *hashes, const Output *to, Py_ssize_t *made)
{
    Places places;
    Py_ssize_t rows = block_rows(block, &places), taken = 0;
    int fit = rows > 0 && rows <= stop - start && from[KIND] && !from[KIND]->bitmap;
    for (int i = 0; fit && i < TAKEN; i++)
        fit = from[i] && (from[i]->planes < 0 || from[i]->distinct);
    Ready *ready = fit ? malloc((size_t)rows * sizeof *ready) : NULL;
    if (!ready)
        return -2;
    make_ready(from, rows, segments, hashes, ready);
    for (int i = KIND + 1; taken >= 0 && i < TAKEN; i++)
        taken = all_have(from[i], &places, ready, start, stop) ? 0 : -1;
    if (taken >= 0)
        taken = places.planes == 2 ? take_ready(&(Places){2, {places.plane[0], places.plane[1]}}, ready, start, stop, to, made)
                                   : take_ready(&places, ready, start, stop, to, made);
    free(ready);
    return taken;
}

/* The same row by row; `known` is 0 where a code is beyond its dictionary. Room is n + 1 numbers and bytes for each column. */
static Py_ssize_t
take_one_by_one(const Stored *const from[TAKEN], Py_ssize_t n, Py_ssize_t start, Py_ssize_t stop, const Segments *segments,
                const Hashes *hashes, uint64_t *room, const Output *to, Py_ssize_t *made, int *known)
{
    static const Py_ssize_t sizes[TAKEN] = {1, 1, 8, 8};
    Column columns[TAKEN], has[TAKEN];
    uint8_t *bytes = (uint8_t *)(room + (n + 1) * TAKEN);
    for (int i = 0; *known && i < TAKEN; i++) {
        *known = unpacked(from[i], n, sizes[i], room + i * (n + 1), &columns[i]);
        presence(from[i], n, bytes + i * (n + 1), &has[i]);
        columns[i] = from_row(columns[i], start);
        has[i] = from_row(has[i], start);
    }
    /* Every row has a kind, or the block is out of the ordinary. */
    if (!*known || !from[KIND] || from[KIND]->bitmap)
        return -1;
    const Rows rows = {columns[KIND], columns[WIDTH], has[WIDTH], columns[ADDR], has[ADDR], columns[VALUE], has[VALUE]};
    const Taken *of = &to->rows;
    const Py_ssize_t taken = take_rows(&rows, stop - start, segments, of, 0);
    *made = taken > 0 && to->codes ? number_rows(of, taken, to->base, to->codes) : taken;
    for (Py_ssize_t i = 0; i < *made; i++) {
        /* It may have been overwritten, where two columns are one. */
        if ((size_t)of->region[i] >= (size_t)hashes->count)
            return -1;
        to->hash[i] = hash_of(hashes->of[of->region[i]], of->op[i], of->width[i], of->offset[i], of->value[i], 1);
    }
    return *made < 0 ? -1 : taken;
}

/* take_stored(block, start, stop, segments, table, hashes, out, base, codes) -> (accesses taken, or -1; rows that they are)
 *
 * Does with the rows start..stop-1 of a block what `take_accesses` does from row 0 on, and hashes them. `hashes` has that of the
 * identity of each code; `out` has room for the hashes as well. Unless `codes` is None, accesses that are alike may be one row,
 * and it says for each which row it is, counted from `base`. Raises ValueError where a code is beyond its dictionary, and as
 * read_block does.
 */
static PyObject *
take_stored(PyObject *self, PyObject *args)
{
    static const int wanted[TAKEN] = {OF_KIND, OF_WIDTH, OF_ADDR, OF_VALUE};
    PyObject *capsule, *table[3], *hashes_object, *out[5], *hash_object, *codes_object;
    Py_ssize_t n, start, stop, base, rows = 0, taken = -1;
    Segments segments;
    const Stored *stored[TAKEN];
    Output to = {.codes = NULL};
    int known = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "Onnn(OOO)O(OOOOOO)nO", &capsule, &start, &stop, &segments.count, &table[0], &table[1],
                          &table[2], &hashes_object, &out[0], &out[1], &out[2], &out[3], &out[4], &hash_object, &base,
                          &codes_object))
        return NULL;
    Block *block = block_of(capsule, &n);
    if (!block)
        return NULL;
    if (start < 0 || stop < start || stop > n || base < 0 ||
        (codes_object != Py_None && base > INT32_MAX - MOST_ROWS)) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return NULL;
    }
    to.base = codes_object == Py_None ? 0 : (int32_t)base;
    Buffers buffers = {.held = 0};
    Hashes hashes = {hold(&buffers, hashes_object, 0, 8, 0), 0};
    int good = hashes.of != NULL;
    hashes.count = good ? buffers.views[0].len / 8 : 0;
    good = good && hold_segments(&buffers, table, &segments);
    for (int i = 0; good && i < TAKEN; i++)
        good = block_column(block, wanted[i], &stored[i]);
    good = good && hold_taken(&buffers, out, stop - start, &to.rows) &&
           (to.hash = hold(&buffers, hash_object, stop - start, 8, 1)) != NULL &&
           (codes_object == Py_None || (to.codes = hold(&buffers, codes_object, stop - start, 4, 1)) != NULL);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        taken = take_by_rows(block, stored, start, stop, &segments, &hashes, &to, &rows);
        Py_END_ALLOW_THREADS
    }
    if (good && taken == -2) {
        uint64_t *room = malloc((size_t)(n + 1) * TAKEN * 9);
        if (!room) {
            let_go(&buffers);
            return PyErr_NoMemory();
        }
        Py_BEGIN_ALLOW_THREADS
        taken = take_one_by_one(stored, n, start, stop, &segments, &hashes, room, &to, &rows, &known);
        Py_END_ALLOW_THREADS
        free(room);
        if (!known)
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    let_go(&buffers);
    return good && known ? Py_BuildValue("nn", taken, taken < 0 ? 0 : rows) : NULL;
}

PyMethodDef taking_functions[] = {
    {"take_accesses", take_accesses, METH_VARARGS, "Accesses of a batch to columns."},
    {"take_stored", take_stored, METH_VARARGS, "Accesses of a stored block to columns."},
    {NULL, NULL, 0, NULL},
};
