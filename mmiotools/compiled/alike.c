/* Which accesses are alike, of some. */
#include "alike.h"

#include <stdlib.h>

/* Accesses as columns, of which the first `count` are unlike each other, and a hash table of 1 << bits slots, at most half full:
 * each the number of one of these, plus 1, or 0.
 */
typedef struct {
    Taken rows;
    Py_ssize_t count;
    uint32_t *slots;
    uint64_t odd[3];
    int bits;
} Unlike;

static inline int
same_rows(const Taken *of, Py_ssize_t a, Py_ssize_t b)
{
    return of->offset[a] == of->offset[b] && of->value[a] == of->value[b] && of->region[a] == of->region[b] &&
           of->width[a] == of->width[b] && of->op[a] == of->op[b];
}

/* The slot of a row: that of the one that it is like, or a free one. */
static inline uint32_t *
slot_of(const Unlike *from, Py_ssize_t row)
{
    const Taken *of = &from->rows;
    const uint64_t shape = (uint64_t)(uint32_t)of->region[row] << 24 ^ (uint64_t)(uint16_t)of->width[row] << 8 ^ of->op[row];
    const uint64_t hash = mixed(mixed(mixed(of->offset[row], from->odd[0]) + of->value[row], from->odd[1]) + shape, from->odd[2]);
    size_t at = (size_t)(hash >> (64 - from->bits));
    while (from->slots[at] && !same_rows(of, from->slots[at] - 1, row))
        at = (at + 1) & (((size_t)1 << from->bits) - 1);
    return &from->slots[at];
}

/* A hash table with more slots; 0 where there is no memory. */
static int
widen(Unlike *from)
{
    uint32_t *slots = calloc((size_t)2 << from->bits, sizeof *slots);
    if (!slots)
        return 0;
    free(from->slots);
    from->slots = slots;
    from->bits++;
    for (Py_ssize_t row = 0; row < from->count; row++)
        *slot_of(from, row) = (uint32_t)row + 1;
    return 1;
}

static int
number_all(Unlike *from, Py_ssize_t rows, int32_t base, int32_t *codes)
{
    const Taken *of = &from->rows;
    for (Py_ssize_t row = 0; row < rows; row++) {
        uint32_t *slot = slot_of(from, row);
        if (!*slot) {
            const Py_ssize_t to = from->count++;
            of->op[to] = of->op[row];
            of->width[to] = of->width[row];
            of->region[to] = of->region[row];
            of->offset[to] = of->offset[row];
            of->value[to] = of->value[row];
            *slot = (uint32_t)from->count;
            if (from->count * 2 > (Py_ssize_t)1 << from->bits) {
                if (!widen(from))
                    return 0;
                slot = slot_of(from, to);
            }
        }
        codes[row] = base + (int32_t)(*slot - 1);
    }
    return 1;
}

Py_ssize_t
number_rows(const Taken *rows, Py_ssize_t count, int32_t base, int32_t *codes)
{
    Unlike from = {.rows = *rows, .bits = 12};
    salt(from.odd);
    from.slots = calloc((size_t)1 << from.bits, sizeof *from.slots);
    const int good = from.slots && number_all(&from, count, base, codes);
    free(from.slots);
    return good ? from.count : -1;
}

/* number_alike(rows, columns, base, codes) -> rows that are unlike those before them
 *
 * Gives rows that are alike one number, the first of them base. `columns` are op, width, region, offset and value: of rows that
 * are alike the first moves to the front of them, in order, and what is behind these means nothing any more.
 */
static PyObject *
number_alike(PyObject *self, PyObject *args)
{
    PyObject *in[5], *codes_object;
    Py_ssize_t rows, base, found = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "n(OOOOO)nO", &rows, &in[0], &in[1], &in[2], &in[3], &in[4], &base, &codes_object))
        return NULL;
    if (rows < 0 || rows > MOST_ROWS || base < 0 || base > INT32_MAX - MOST_ROWS) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    Taken from;
    int32_t *codes = NULL;
    if (hold_taken(&buffers, in, rows, &from) && (codes = hold(&buffers, codes_object, rows, 4, 1))) {
        Py_BEGIN_ALLOW_THREADS
        found = number_rows(&from, rows, (int32_t)base, codes);
        Py_END_ALLOW_THREADS
        if (found < 0)
            PyErr_NoMemory();
    }
    let_go(&buffers);
    return found < 0 ? NULL : PyLong_FromSsize_t(found);
}

PyMethodDef alike_functions[] = {
    {"number_alike", number_alike, METH_VARARGS, "Rows that are alike get one number."},
    {NULL, NULL, 0, NULL},
};
