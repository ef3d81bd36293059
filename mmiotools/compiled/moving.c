/* What `diff` does to find what has moved. The twins are in diff/anchors.py and diff/moves.py. */
#include "speed.h"

#include <stdlib.h>

/* -- pairs of equal hashes ----------------------------------------------------------------------------------- */

/* The hashes of one side: how often each is on either side, counted up to `most`, and where on this side, ascending. */
typedef struct {
    uint64_t hash;
    int64_t next;
    int32_t here, there;
} Place;

/* A hash table of 1 << bits of them, at most half full. */
typedef struct {
    Place *slots;
    uint64_t odd; /* to hash with */
    int bits;
} Places;

static inline Place *
place_of(const Places *table, uint64_t hash)
{
    size_t at = (size_t)(mixed(hash, table->odd) >> (64 - table->bits));
    while (table->slots[at].here && table->slots[at].hash != hash)
        at = (at + 1) & (((size_t)1 << table->bits) - 1);
    return &table->slots[at];
}

/* rank_pairs(a, b, limit, left, right) -> pairs
 *
 * Pairs the hashes that both sides have equally often, and at most `limit` times: the first with the first, the second
 * with the second. The places on the left ascend; there is room for as many as the shorter side has.
 */
static PyObject *
rank_pairs(PyObject *self, PyObject *args)
{
    PyObject *objects[4];
    int limit;
    Py_ssize_t found = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOiOO", &objects[0], &objects[1], &limit, &objects[2], &objects[3]))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *a = hold(&buffers, objects[0], 0, 8, 0), *b = a == NULL ? NULL : hold(&buffers, objects[1], 0, 8, 0);
    const int64_t count_a = b == NULL ? 0 : buffers.views[0].len / 8, count_b = b == NULL ? 0 : buffers.views[1].len / 8;
    const int64_t shorter = count_a < count_b ? count_a : count_b;
    int64_t *left = b == NULL ? NULL : hold(&buffers, objects[2], shorter, 8, 1);
    int64_t *right = left == NULL ? NULL : hold(&buffers, objects[3], shorter, 8, 1);
    int good = right != NULL;
    Places table = {.odd = salted(0x9E3779B97F4A7C15u), .bits = 1};
    while ((size_t)1 << table.bits <= 2 * (size_t)count_b)
        table.bits++;
    table.slots = good ? calloc((size_t)1 << table.bits, sizeof *table.slots) : NULL;
    int64_t *next = good ? malloc(((size_t)count_b + 1) * sizeof *next) : NULL;
    if (good && (table.slots == NULL || next == NULL || limit < 1 || limit == INT32_MAX)) {
        if (limit < 1 || limit == INT32_MAX)
            PyErr_SetString(PyExc_ValueError, "no such limit");
        else
            PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t j = count_b - 1; j >= 0; j--) {
            Place *place = place_of(&table, b[j]);
            next[j] = place->here ? place->next : -1;
            place->hash = b[j];
            place->next = j;
            place->here += place->here <= limit;
        }
        for (int64_t i = 0; i < count_a; i++) {
            Place *place = place_of(&table, a[i]);
            place->there += place->there <= limit;
        }
        for (int64_t i = 0; i < count_a; i++) {
            Place *place = place_of(&table, a[i]);
            if (!place->here || place->here != place->there || place->here > limit || place->next < 0)
                continue;
            left[found] = i;
            right[found++] = place->next;
            place->next = next[place->next];
        }
        Py_END_ALLOW_THREADS
    }
    free(table.slots);
    free(next);
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(found) : NULL;
}

/* -- blocks --------------------------------------------------------------------------------------------------- */

/* What is left over on a side: see `Left` in diff/moves.py. */
typedef struct {
    const int64_t *rows;
    const uint64_t *keys;
    uint8_t *free;
    int64_t count;
} Left;

static int
hold_left(Buffers *buffers, PyObject *rows, PyObject *keys, PyObject *free, Left *left)
{
    if (!(left->rows = hold(buffers, rows, 0, 8, 0)))
        return 0;
    left->count = buffers->views[buffers->held - 1].len / 8;
    return (left->keys = hold(buffers, keys, left->count, 8, 0)) != NULL &&
           (left->free = hold(buffers, free, left->count, 1, 1)) != NULL;
}

static inline int
fits(const Left *a, const Left *b, int64_t i, int64_t j)
{
    return a->keys[i] == b->keys[j] && a->free[i] && b->free[j];
}

/* Does what fits at i, j follow what is one place before, on both sides? */
static inline int
follows(const Left *a, const Left *b, int64_t i, int64_t j)
{
    const uint64_t step_a = (uint64_t)a->rows[i] - (uint64_t)a->rows[i - 1];
    return step_a == 1 && (uint64_t)b->rows[j] - (uint64_t)b->rows[j - 1] == 1;
}

/* As `_grow`: the longest stretch within n places, grown at both ends if all of them fit. */
static int64_t
grow(const Left *a, const Left *b, int64_t *at_a, int64_t *at_b, int64_t n)
{
    const int64_t i = *at_a, j = *at_b;
    int64_t longest = -1, from = 0, since = 0;
    for (int64_t x = 0; x <= n; x++)
        if (x == n || !fits(a, b, i + x, j + x) || (x && !follows(a, b, i + x, j + x))) {
            if (x - since > longest) {
                longest = x - since;
                from = since;
            }
            since = x + 1;
        }
    if (longest < n) {
        *at_a = i + from;
        *at_b = j + from;
        return longest;
    }
    while (i + n < a->count && j + n < b->count && follows(a, b, i + n, j + n) && fits(a, b, i + n, j + n))
        n++;
    int64_t back = 0;
    while (i - back > 0 && j - back > 0 && follows(a, b, i - back, j - back) && fits(a, b, i - back - 1, j - back - 1))
        back++;
    *at_a = i - back;
    *at_b = j - back;
    return n + back;
}

static int
one_key(const uint64_t *keys, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (keys[i] != keys[0])
            return 0;
    return 1;
}

/* grow_blocks((rows, keys, free), (rows, keys, free), (left, right, size), k) -> blocks
 *
 * Of each stretch in order, `size` places from left and right on, the block of at least k that it grows to, if there is
 * one of more than one key: its places stop being free, and it takes the place of the stretches in the three columns.
 */
static PyObject *
grow_blocks(PyObject *self, PyObject *args)
{
    PyObject *side[6], *ends[3];
    Py_ssize_t k, found = 0;
    Left a, b;
    int64_t *column[3];
    int inside = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "(OOO)(OOO)(OOO)n", &side[0], &side[1], &side[2], &side[3], &side[4], &side[5], &ends[0],
                          &ends[1], &ends[2], &k))
        return NULL;
    Buffers buffers = {.held = 0};
    int good = hold_left(&buffers, side[0], side[1], side[2], &a) && hold_left(&buffers, side[3], side[4], side[5], &b);
    Py_ssize_t count = 0;
    for (int i = 0; good && i < 3; i++) {
        good = (column[i] = hold(&buffers, ends[i], count, 8, 1)) != NULL;
        count = good && !i ? buffers.views[buffers.held - 1].len / 8 : count;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t at = 0; inside && at < count; at++) {
            int64_t i = column[0][at], j = column[1][at], n = column[2][at];
            inside = i >= 0 && j >= 0 && n >= 1 && n <= a.count && n <= b.count && i <= a.count - n && j <= b.count - n;
            if (!inside)
                break;
            n = grow(&a, &b, &i, &j, n);
            if (n < k || one_key(a.keys + i, n))
                continue;
            memset(a.free + i, 0, (size_t)n);
            memset(b.free + j, 0, (size_t)n);
            column[0][found] = i;
            column[1][found] = j;
            column[2][found++] = n;
        }
        Py_END_ALLOW_THREADS
        if (!inside)
            PyErr_SetString(PyExc_ValueError, "a stretch lies outside");
    }
    let_go(&buffers);
    return good && inside ? PyLong_FromSsize_t(found) : NULL;
}

PyMethodDef moving_functions[] = {
    {"rank_pairs", rank_pairs, METH_VARARGS, "Places of hashes that both sides have equally often."},
    {"grow_blocks", grow_blocks, METH_VARARGS, "Blocks that moved."},
    {NULL, NULL, 0, NULL},
};
