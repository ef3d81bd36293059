/* Accesses as columns: hashed, compared. The twin is in trace/matching.py. */
#include "accesses.h"

#include <stdlib.h>

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
            uint64_t value = ITEM(uint64_t, from.value, row) & ITEM(uint64_t, keep, row);
            out[row] = hash_of(*known, ITEM(uint8_t, from.op, row), ITEM(int16_t, from.width, row),
                               ITEM(uint64_t, from.offset, row), value, ITEM(uint8_t, from.has_value, row));
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

/* One side of which runs are compared: rows, and which of them each of so many accesses is where that is not its own. */
typedef struct {
    Accesses from;
    const int32_t *codes;
    Py_ssize_t rows, count;
} Half;

static int
hold_half(Buffers *buffers, PyObject *const columns[6], PyObject *codes, Half *half)
{
    half->codes = NULL;
    half->count = half->rows;
    if (half->rows < 0) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return 0;
    }
    if (codes != Py_None) {
        if (half->rows > INT32_MAX) {
            PyErr_SetString(PyExc_ValueError, "more rows than codes tell apart");
            return 0;
        }
        if ((half->codes = hold(buffers, codes, 0, 4, 0)) == NULL)
            return 0;
        half->count = buffers->views[buffers->held - 1].len / 4;
    }
    return hold_accesses(buffers, columns, half->rows, &half->from);
}

/* As same_run, of row x of the one and row y of the other. */
static inline int
same_rows(const Accesses *a, Py_ssize_t x, const Accesses *b, Py_ssize_t y, const Identities *identities, const Column *keep)
{
    const int32_t own = ITEM(int32_t, b->identity, y);
    const int32_t *known = identities->same ? &own : IN_TABLE(identities->table, identities->items, own);
    if (known == NULL)
        return -1;
    return ITEM(uint64_t, a->offset, x) == ITEM(uint64_t, b->offset, y) && ITEM(uint8_t, a->op, x) == ITEM(uint8_t, b->op, y) &&
           ITEM(int16_t, a->width, x) == ITEM(int16_t, b->width, y) &&
           ITEM(uint8_t, a->has_value, x) == ITEM(uint8_t, b->has_value, y) && ITEM(int32_t, a->identity, x) == *known &&
           !((ITEM(uint64_t, a->value, x) ^ ITEM(uint64_t, b->value, y)) & ITEM(uint64_t, *keep, x));
}

/* As same_run, of accesses that are known by codes: `known` has for each row of A one of B that it is like, plus 1, or 0. */
static int
same_codes(const Half *a, int64_t x, const Half *b, int64_t y, int64_t count, const Identities *identities, const Column *keep,
           uint32_t *known)
{
    for (int64_t n = 0; n < count; n++) {
        const uint32_t one = (uint32_t)a->codes[x + n], other = (uint32_t)b->codes[y + n];
        if (one >= (size_t)a->rows || other >= (size_t)b->rows)
            return -1;
        if (known[one] == other + 1)
            continue;
        const int same = same_rows(&a->from, one, &b->from, other, identities, keep);
        if (same <= 0)
            return same;
        known[one] = other + 1;
    }
    return 1;
}

/* same_runs(runs, (a, b, count), (rows, columns, codes) of A, that of B, identities, keep) -> is all of it the same?
 *
 * Compares accesses a[i].. of A with b[i].. of B, count[i] of them, field by field. `codes` of both say which row of the columns
 * each access is, or are None. `identities` says which identity of A each of B is, at the end what none is; `keep` which bits of
 * the values of A's rows count; one may stand for all.
 */
static PyObject *
same_runs(PyObject *self, PyObject *args)
{
    PyObject *run[3], *in_a[6], *in_b[6], *codes_a, *codes_b, *table_object, *keep_object;
    Py_ssize_t runs;
    Half a, b;
    Column keep;
    const int64_t *ends[3];
    int same = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "n(OOO)(n(OOOOOO)O)(n(OOOOOO)O)OO", &runs, &run[0], &run[1], &run[2], &a.rows, &in_a[0],
                          &in_a[1], &in_a[2], &in_a[3], &in_a[4], &in_a[5], &codes_a, &b.rows, &in_b[0], &in_b[1],
                          &in_b[2], &in_b[3], &in_b[4], &in_b[5], &codes_b, &table_object, &keep_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const int32_t *table = hold(&buffers, table_object, 1, 4, 0);
    Py_ssize_t items = table == NULL ? 0 : buffers.views[0].len / 4;
    Identities identities = {table, items, 1};
    int good = table != NULL;
    for (int i = 0; good && i < 3; i++)
        good = (ends[i] = hold(&buffers, run[i], runs, 8, 0)) != NULL;
    good = good && hold_half(&buffers, in_a, codes_a, &a) && hold_half(&buffers, in_b, codes_b, &b) &&
           hold_column(&buffers, keep_object, a.rows, 8, &keep);
    if (good && !a.codes != !b.codes) {
        PyErr_SetString(PyExc_ValueError, "one side has codes, and the other one has not");
        good = 0;
    }
    uint32_t *known = NULL;
    if (good && a.codes && !(known = calloc((size_t)a.rows + 1, sizeof *known))) {
        PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        identities.same = table[items - 1] == -1;
        for (Py_ssize_t i = 0; i < items - 1; i++)
            identities.same &= table[i] == i;
        for (Py_ssize_t i = 0; same > 0 && i < runs; i++) {
            const int64_t x = ends[0][i], y = ends[1][i], count = ends[2][i];
            if (count < 0 || x < 0 || y < 0 || count > a.count || count > b.count || x > a.count - count || y > b.count - count)
                same = -1;
            else if (known)
                same = same_codes(&a, x, &b, y, count, &identities, &keep, known);
            else
                same = same_run(&a.from, x, &b.from, y, count, &identities, &keep);
        }
        Py_END_ALLOW_THREADS
        if (same < 0)
            PyErr_SetString(PyExc_IndexError, "a run, a code or an identity lies outside");
    }
    free(known);
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

#define LOOK_UP(type)                                                       \
    for (; at < count && (size_t)codes[at] < (size_t)items; at++)           \
        ((type *)out)[at] = ((const type *)table)[codes[at]]

/* look_up(table, size, codes, out)
 *
 * The items, of 1, 2, 4 or 8 bytes, that have these numbers in a table.
 */
static PyObject *
look_up(PyObject *self, PyObject *args)
{
    PyObject *table_object, *codes_object, *out_object;
    Py_ssize_t size, at = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnOO", &table_object, &size, &codes_object, &out_object))
        return NULL;
    if (size != 1 && size != 2 && size != 4 && size != 8) {
        PyErr_SetString(PyExc_ValueError, "no such size");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    const uint8_t *table = hold(&buffers, table_object, 0, size, 0);
    const Py_ssize_t items = table == NULL ? 0 : buffers.views[0].len / size;
    const int32_t *codes = table == NULL ? NULL : hold(&buffers, codes_object, 0, 4, 0);
    const Py_ssize_t count = codes == NULL ? 0 : buffers.views[1].len / 4;
    uint8_t *out = codes == NULL ? NULL : hold(&buffers, out_object, count, size, 1);
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS
        if (size == 1) {
            LOOK_UP(uint8_t);
        } else if (size == 2) {
            LOOK_UP(uint16_t);
        } else if (size == 4) {
            LOOK_UP(uint32_t);
        } else {
            LOOK_UP(uint64_t);
        }
        Py_END_ALLOW_THREADS
        if (at < count)
            PyErr_SetString(PyExc_IndexError, "a number is beyond the table");
    }
    let_go(&buffers);
    return out != NULL && at == count ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef accesses_functions[] = {
    {"look_up", look_up, METH_VARARGS, "Items of a table."},
    {"rows_like", rows_like, METH_VARARGS, "Numbers with certain lowest bits."},
    {"hash_accesses", hash_accesses, METH_VARARGS, "One hash an access."},
    {"same_runs", same_runs, METH_VARARGS, "Are runs of accesses the same?"},
    {NULL, NULL, 0, NULL},
};
