/* Accesses as columns: taken from batches, hashed, compared. The twins are in trace/collect.py and trace/matching.py. */
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

typedef struct {
    Column kind, width, has_width, addr, has_addr, value, has_value;
} Rows;

typedef struct {
    uint8_t *op;
    int16_t *width;
    int32_t *region;
    uint64_t *offset, *value;
} Taken;

/* How many accesses there were, or -1 where one is out of the ordinary. */
static Py_ssize_t
take_rows(const Rows *from, Py_ssize_t rows, const Segments *segments, const Taken *to, Py_ssize_t at)
{
    const Py_ssize_t first = at;
    Py_ssize_t segment = -1;
    uint64_t low = 1, high = 0;
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
        if (address < low || address > high) {
            segment = segment_of(segments, address);
            if (segment < 0 || segments->code[segment] < 0)
                return -1;
            low = segments->start[segment];
            high = segment + 1 < segments->count ? segments->start[segment + 1] - 1 : UINT64_MAX;
        }
        to->op[at] = kind;
        to->width[at] = ITEM(uint8_t, from->width, row);
        to->region[at] = segments->code[segment];
        to->offset[at] = address - segments->base[segment];
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

/* Room for so many rows of op, width, region, offset and value; 0 with an exception set. */
static int
hold_taken(Buffers *buffers, PyObject *const out[5], Py_ssize_t rows, Taken *to)
{
    return (to->op = hold(buffers, out[0], rows, 1, 1)) != NULL && (to->width = hold(buffers, out[1], rows, 2, 1)) != NULL &&
           (to->region = hold(buffers, out[2], rows, 4, 1)) != NULL &&
           (to->offset = hold(buffers, out[3], rows, 8, 1)) != NULL && (to->value = hold(buffers, out[4], rows, 8, 1)) != NULL;
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

/* take_stored(block, start, stop, segments, table, at, out) -> accesses taken, or -1
 *
 * Does with the rows start..stop-1 of a block what `take_accesses` does. Raises ValueError where a code is beyond its
 * dictionary, and as read_block does.
 */
static PyObject *
take_stored(PyObject *self, PyObject *args)
{
    enum { TAKEN = 4 };
    static const int wanted[TAKEN] = {OF_KIND, OF_WIDTH, OF_ADDR, OF_VALUE};
    static const Py_ssize_t sizes[TAKEN] = {1, 1, 8, 8};
    PyObject *capsule, *table[3], *out[5];
    Py_ssize_t n, start, stop, at, taken = -1;
    Segments segments;
    const Stored *stored[TAKEN];
    Column columns[TAKEN], has[TAKEN];
    Taken to;
    int known = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "Onnn(OOO)n(OOOOO)", &capsule, &start, &stop, &segments.count, &table[0], &table[1],
                          &table[2], &at, &out[0], &out[1], &out[2], &out[3], &out[4]))
        return NULL;
    Block *block = block_of(capsule, &n);
    if (!block)
        return NULL;
    if (start < 0 || stop < start || stop > n || at < 0 || at > PY_SSIZE_T_MAX - n) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    int good = hold_segments(&buffers, table, &segments);
    for (int i = 0; good && i < TAKEN; i++)
        good = block_column(block, wanted[i], &stored[i]);
    good = good && hold_taken(&buffers, out, at + stop - start, &to);
    uint64_t *room = NULL;
    if (good && !(room = malloc((size_t)(n + 1) * TAKEN * 9))) {
        PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        uint8_t *bytes = (uint8_t *)(room + (n + 1) * TAKEN);
        for (int i = 0; known && i < TAKEN; i++) {
            known = unpacked(stored[i], n, sizes[i], room + i * (n + 1), &columns[i]);
            presence(stored[i], n, bytes + i * (n + 1), &has[i]);
            columns[i] = from_row(columns[i], start);
            has[i] = from_row(has[i], start);
        }
        /* Every row has a kind, or the block is out of the ordinary. */
        if (known && stored[0] && !stored[0]->bitmap) {
            const Rows from = {columns[0], columns[1], has[1], columns[2], has[2], columns[3], has[3]};
            taken = take_rows(&from, stop - start, &segments, &to, at);
        }
        Py_END_ALLOW_THREADS
        if (!known)
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    free(room);
    let_go(&buffers);
    return good && known ? PyLong_FromSsize_t(taken) : NULL;
}

/* -- accesses ------------------------------------------------------------------------------------------------ */

typedef struct {
    Column op, width, identity, offset, value, has_value;
} Accesses;

static int
hold_accesses(Buffers *buffers, PyObject *const columns[6], Py_ssize_t count, Accesses *accesses)
{
    return hold_column(buffers, columns[0], count, 1, &accesses->op) &&
           hold_column(buffers, columns[1], count, 2, &accesses->width) &&
           hold_column(buffers, columns[2], count, 4, &accesses->identity) &&
           hold_column(buffers, columns[3], count, 8, &accesses->offset) &&
           hold_column(buffers, columns[4], count, 8, &accesses->value) &&
           hold_column(buffers, columns[5], count, 1, &accesses->has_value);
}

/* What an identity is in a table whose last item is for none; NULL where it is not in there. */
#define IN_TABLE(table, items, identity) \
    ((identity) < 0 ? &(table)[(items) - 1] : (identity) < (items) - 1 ? &(table)[identity] : NULL)

static inline uint64_t
finished(uint64_t sum)
{
    sum = (sum ^ sum >> 30) * 0xBF58476D1CE4E5B9u;
    sum = (sum ^ sum >> 27) * 0x94D049BB133111EBu;
    return sum ^ sum >> 31;
}

/* hash_accesses(rows, columns, keep, identities, out)
 *
 * columns     op, width, identity, offset, value, has_value
 * keep        which bits of the values count; one may stand for all
 * identities  the hash of each identity, and at the end that of none
 */
static PyObject *
hash_accesses(PyObject *self, PyObject *args)
{
    PyObject *in[6], *keep_object, *table_object, *out_object;
    Py_ssize_t rows, row = 0;
    Accesses from;
    Column keep;
    (void)self;
    if (!PyArg_ParseTuple(args, "n(OOOOOO)OOO", &rows, &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &keep_object,
                          &table_object, &out_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *table = hold(&buffers, table_object, 1, 8, 0);
    Py_ssize_t items = table == NULL ? 0 : buffers.views[0].len / 8;
    uint64_t *out = table == NULL ? NULL : hold(&buffers, out_object, rows, 8, 1);
    int good = out != NULL && hold_accesses(&buffers, in, rows, &from) &&
               hold_column(&buffers, keep_object, rows, 8, &keep);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (; row < rows; row++) {
            const uint64_t *known = IN_TABLE(table, items, ITEM(int32_t, from.identity, row));
            if (known == NULL)
                break;
            uint16_t shape = (uint16_t)((ITEM(uint8_t, from.op, row) << 10) + ITEM(uint16_t, from.width, row));
            uint64_t sum = *known + ITEM(uint64_t, from.offset, row) * 0x9E3779B97F4A7C15u;
            sum += shape * 0xC2B2AE3D27D4EB4Fu;
            sum += (ITEM(uint64_t, from.value, row) & ITEM(uint64_t, keep, row)) * 0xD6E8FEB86659FD93u;
            out[row] = finished(sum + (ITEM(uint8_t, from.has_value, row) ? 0 : 0xA0761D6478BD642Fu));
        }
        Py_END_ALLOW_THREADS
        if (row < rows)
            PyErr_SetString(PyExc_IndexError, "an identity is not in the table");
        good = row == rows;
    }
    let_go(&buffers);
    return good ? Py_NewRef(Py_None) : NULL;
}

/* Are `count` items of two columns the same, from item x of the one and y of the other on? */
static int
same_items(const Column *a, int64_t x, const Column *b, int64_t y, int64_t count, size_t size)
{
    if (a->step && b->step)
        return !memcmp(a->first + a->step * x, b->first + b->step * y, (size_t)count * size);
    for (int64_t n = 0; n < (a->step || b->step ? count : 1); n++)
        if (memcmp(a->first + a->step * (x + n), b->first + b->step * (y + n), size))
            return 0;
    return 1;
}

/* Which identity of A each of B is, at the end what none is; `same` where all are what they are in B. */
typedef struct {
    const int32_t *table;
    Py_ssize_t items;
    int same;
} Identities;

/* 1 where they are the same, 0 where not, -1 where an identity is in no table. */
static int
same_run(const Accesses *a, int64_t x, const Accesses *b, int64_t y, int64_t count, const Identities *identities,
         const Column *keep)
{
    if (!count)
        return 1;
    if (!same_items(&a->offset, x, &b->offset, y, count, 8) || !same_items(&a->op, x, &b->op, y, count, 1) ||
        !same_items(&a->width, x, &b->width, y, count, 2) ||
        !same_items(&a->has_value, x, &b->has_value, y, count, 1))
        return 0;
    if (identities->same) {
        if (!same_items(&a->identity, x, &b->identity, y, count, 4))
            return 0;
    } else
        for (int64_t n = 0; n < count; n++) {
            const int32_t *known = IN_TABLE(identities->table, identities->items, ITEM(int32_t, b->identity, y + n));
            if (known == NULL)
                return -1;
            if (ITEM(int32_t, a->identity, x + n) != *known)
                return 0;
        }
    if (!keep->step && ITEM(uint64_t, *keep, 0) == UINT64_MAX)
        return same_items(&a->value, x, &b->value, y, count, 8);
    for (int64_t n = 0; n < count; n++)
        if ((ITEM(uint64_t, a->value, x + n) ^ ITEM(uint64_t, b->value, y + n)) & ITEM(uint64_t, *keep, x + n))
            return 0;
    return 1;
}

/* same_runs(runs, (a, b, count), rows_a, columns_a, rows_b, columns_b, identities, keep) -> is all of it the same?
 *
 * Compares accesses a[i].. of A with b[i].. of B, count[i] of them, field by field. `identities` says which identity of
 * A each of B is, at the end what none is; `keep` which bits of A's values count; one may stand for all.
 */
static PyObject *
same_runs(PyObject *self, PyObject *args)
{
    PyObject *run[3], *in_a[6], *in_b[6], *table_object, *keep_object;
    Py_ssize_t runs, rows_a, rows_b;
    Accesses a, b;
    Column keep;
    const int64_t *ends[3];
    int same = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "n(OOO)n(OOOOOO)n(OOOOOO)OO", &runs, &run[0], &run[1], &run[2], &rows_a, &in_a[0],
                          &in_a[1], &in_a[2], &in_a[3], &in_a[4], &in_a[5], &rows_b, &in_b[0], &in_b[1], &in_b[2],
                          &in_b[3], &in_b[4], &in_b[5], &table_object, &keep_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const int32_t *table = hold(&buffers, table_object, 1, 4, 0);
    Py_ssize_t items = table == NULL ? 0 : buffers.views[0].len / 4;
    Identities identities = {table, items, 1};
    int good = table != NULL;
    for (int i = 0; good && i < 3; i++)
        good = (ends[i] = hold(&buffers, run[i], runs, 8, 0)) != NULL;
    good = good && hold_accesses(&buffers, in_a, rows_a, &a) && hold_accesses(&buffers, in_b, rows_b, &b) &&
           hold_column(&buffers, keep_object, rows_a, 8, &keep);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        identities.same = table[items - 1] == -1;
        for (Py_ssize_t i = 0; i < items - 1; i++)
            identities.same &= table[i] == i;
        for (Py_ssize_t i = 0; same > 0 && i < runs; i++) {
            int64_t count = ends[2][i];
            if (count < 0 || ends[0][i] < 0 || ends[1][i] < 0 || count > rows_a || count > rows_b ||
                ends[0][i] > rows_a - count || ends[1][i] > rows_b - count)
                same = -1;
            else
                same = same_run(&a, ends[0][i], &b, ends[1][i], count, &identities, &keep);
        }
        Py_END_ALLOW_THREADS
        if (same < 0)
            PyErr_SetString(PyExc_IndexError, "a run or an identity lies outside");
    }
    let_go(&buffers);
    return good && same >= 0 ? PyBool_FromLong(same) : NULL;
}

/* rows_like(numbers, table, skipped, rows) -> how many
 *
 * The rows of the numbers whose lowest 16 bits are in a table of 65536 bytes, without those that `skipped` (None for none)
 * has a 0 for; one may stand for all.
 */
static PyObject *
rows_like(PyObject *self, PyObject *args)
{
    PyObject *numbers_object, *table_object, *skipped_object, *rows_object;
    static const uint8_t none = 1;
    Column skipped = {&none, 0};
    Py_ssize_t found = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOO", &numbers_object, &table_object, &skipped_object, &rows_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *numbers = hold(&buffers, numbers_object, 0, 8, 0);
    const Py_ssize_t count = numbers == NULL ? 0 : buffers.views[0].len / 8;
    const uint8_t *table = numbers == NULL ? NULL : hold(&buffers, table_object, 65536, 1, 0);
    int64_t *rows = table == NULL ? NULL : hold(&buffers, rows_object, count, 8, 1);
    const int good = rows != NULL && (skipped_object == Py_None || hold_column(&buffers, skipped_object, count, 1, &skipped));
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t row = 0; row < count; row++)
            if (table[numbers[row] & 65535] && ITEM(uint8_t, skipped, row))
                rows[found++] = row;
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(found) : NULL;
}

PyMethodDef accesses_functions[] = {
    {"rows_like", rows_like, METH_VARARGS, "Numbers with certain lowest bits."},
    {"take_accesses", take_accesses, METH_VARARGS, "Accesses of a batch to columns."},
    {"take_stored", take_stored, METH_VARARGS, "Accesses of a stored block to columns."},
    {"hash_accesses", hash_accesses, METH_VARARGS, "One hash an access."},
    {"same_runs", same_runs, METH_VARARGS, "Are runs of accesses the same?"},
    {NULL, NULL, 0, NULL},
};
