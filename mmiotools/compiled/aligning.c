/* What `diff` does with every key. The twins are in diff/anchors.py, stretches.py and lcs.py. */
#include "speed.h"

#include <stdlib.h>

/* sample_kgrams(keys, k, base, limit, start, places, hashes) -> (stretches found, where to go on)
 *
 * Hashes the k keys from each place on, from `start` on, as anchors.kgrams does: the sum of each key times a power of
 * `base`. Those that are `limit` at most are kept, until there is no more room for them.
 */
static PyObject *
sample_kgrams(PyObject *self, PyObject *args)
{
    PyObject *keys_object, *places_object, *hashes_object;
    unsigned long long base, limit;
    Py_ssize_t k, start, found = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnKKnOO", &keys_object, &k, &base, &limit, &start, &places_object, &hashes_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *keys = hold(&buffers, keys_object, 0, 8, 0);
    int64_t *places = keys == NULL ? NULL : hold(&buffers, places_object, 0, 8, 1);
    Py_ssize_t room = places == NULL ? 0 : buffers.views[1].len / 8;
    uint64_t *hashes = places == NULL ? NULL : hold(&buffers, hashes_object, room, 8, 1);
    int good = hashes != NULL;
    Py_ssize_t length = good ? buffers.views[0].len / 8 : 0;
    if (good && (k < 1 || start < 0)) {
        PyErr_SetString(PyExc_ValueError, "no such stretches");
        good = 0;
    }
    if (good && k <= length && start <= length - k) {
        Py_BEGIN_ALLOW_THREADS
        uint64_t hash = 0, leaving = 1;
        for (Py_ssize_t i = 0; i < k; i++) {
            hash = hash * base + keys[start + i];
            leaving *= base;
        }
        while (found < room) {
            if (hash <= limit) {
                places[found] = start;
                hashes[found++] = hash;
            }
            if (++start > length - k)
                break;
            hash = hash * base + (keys[start + k - 1] - keys[start - 1] * leaving);
        }
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? Py_BuildValue("nn", found, start) : NULL;
}

/* equal_runs(a, b, stretches, start, count, shift, shortest, out_start, out_count, out_shift) -> runs found
 *
 * In each stretch, a[start].. against b[start + shift].., the runs of at least `shortest` equal keys.
 */
static PyObject *
equal_runs(PyObject *self, PyObject *args)
{
    PyObject *objects[8];
    Py_ssize_t stretches, shortest, found = 0;
    const char *problem = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnOOOnOOO", &objects[0], &objects[1], &stretches, &objects[2], &objects[3],
                          &objects[4], &shortest, &objects[5], &objects[6], &objects[7]))
        return NULL;
    Buffers buffers = {.held = 0};
    int64_t *memory[8];
    int good = 1;
    for (int i = 0; good && i < 8; i++)
        good = (memory[i] = hold(&buffers, objects[i], i > 1 && i < 5 ? stretches : 0, 8, i > 4)) != NULL;
    if (!good) {
        let_go(&buffers);
        return NULL;
    }
    const uint64_t *a = (const uint64_t *)memory[0], *b = (const uint64_t *)memory[1];
    const int64_t length_a = buffers.views[0].len / 8, length_b = buffers.views[1].len / 8;
    Py_ssize_t room = buffers.views[5].len / 8;
    for (int i = 6; i < 8; i++)
        room = buffers.views[i].len / 8 < room ? buffers.views[i].len / 8 : room;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; problem == NULL && i < stretches; i++) {
        int64_t start = memory[2][i], count = memory[3][i], shift = memory[4][i];
        if (start < 0 || count < 0 || count > length_a || start > length_a - count || shift < -start ||
            count > length_b || shift > length_b - count - start) {
            problem = "a stretch lies outside";
            break;
        }
        const uint64_t *left = a + start, *right = b + start + shift;
        for (int64_t at = 0; at < count;) {
            int64_t first = at;
            while (at < count && left[at] == right[at])
                at++;
            if (at > first && at - first >= shortest) {
                if (found == room) {
                    problem = "no room for so many runs";
                    break;
                }
                memory[5][found] = start + first;
                memory[6][found] = at - first;
                memory[7][found++] = shift;
            }
            while (at < count && left[at] != right[at])
                at++;
        }
    }
    Py_END_ALLOW_THREADS
    let_go(&buffers);
    if (problem != NULL) {
        PyErr_SetString(PyExc_ValueError, problem);
        return NULL;
    }
    return PyLong_FromSsize_t(found);
}

/* common_ends(a, b, count, gaps, end, out)
 *
 * How many keys the two sides of each gap (from and to in a, from and to in b) share at their beginnings or, with
 * `end`, at their ends.
 */
static PyObject *
common_ends(PyObject *self, PyObject *args)
{
    PyObject *objects[4];
    Py_ssize_t count, done = 0;
    int end;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnOpO", &objects[0], &objects[1], &count, &objects[2], &end, &objects[3]))
        return NULL;
    if (count < 0 || count > PY_SSIZE_T_MAX / 4) {
        PyErr_SetString(PyExc_ValueError, "no such gaps");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    int64_t *memory[4];
    const Py_ssize_t items[4] = {0, 0, 4 * count, count};
    int good = 1;
    for (int i = 0; good && i < 4; i++)
        good = (memory[i] = hold(&buffers, objects[i], items[i], 8, i == 3)) != NULL;
    if (good) {
        const uint64_t *a = (const uint64_t *)memory[0], *b = (const uint64_t *)memory[1];
        const int64_t length_a = buffers.views[0].len / 8, length_b = buffers.views[1].len / 8;
        Py_BEGIN_ALLOW_THREADS
        for (; done < count; done++) {
            const int64_t *gap = memory[2] + 4 * done;
            if (gap[0] < 0 || gap[1] < gap[0] || gap[1] > length_a || gap[2] < 0 || gap[3] < gap[2] ||
                gap[3] > length_b)
                break;
            int64_t room = gap[1] - gap[0] < gap[3] - gap[2] ? gap[1] - gap[0] : gap[3] - gap[2], same = 0;
            if (end)
                while (same < room && a[gap[1] - 1 - same] == b[gap[3] - 1 - same])
                    same++;
            else
                while (same < room && a[gap[0] + same] == b[gap[2] + same])
                    same++;
            memory[3][done] = same;
        }
        Py_END_ALLOW_THREADS
        if (done < count)
            PyErr_SetString(PyExc_ValueError, "a gap lies outside");
        good = done == count;
    }
    let_go(&buffers);
    return good ? Py_NewRef(Py_None) : NULL;
}

/* A table of a longest common subsequence: a row of bits, in words, for nothing and then for each key of b; and where
 * each key of a is.
 */
typedef struct {
    uint64_t *rows, *masks;
    int32_t *slots; /* a hash table of 1 << bits, at most half full */
    size_t words;
    uint64_t odd; /* to hash with */
    int bits;
} Table;

/* The slot of a key: an index into a, of the first one like it, or -1 where it is free. */
static inline int32_t *
slot_of(const Table *table, const uint64_t *a, uint64_t key)
{
    size_t at = (size_t)(mixed(key, table->odd) >> (64 - table->bits));
    while (table->slots[at] >= 0 && a[table->slots[at]] != key)
        at = (at + 1) & (((size_t)1 << table->bits) - 1);
    return &table->slots[at];
}

/* Fills the rows. A clear bit i in row j says that the subsequence grows when a[i] is added to the keys of a before it,
 * given the first j keys of b.
 */
static void
fill_rows(const Table *table, const uint64_t *a, size_t n, const uint64_t *b, size_t m)
{
    const size_t words = table->words;
    for (size_t i = 0; i < n; i++) {
        int32_t *slot = slot_of(table, a, a[i]);
        if (*slot < 0)
            *slot = (int32_t)i;
        table->masks[(size_t)*slot * words + i / 64] |= (uint64_t)1 << i % 64;
    }
    memset(table->rows, 255, words * 8);
    for (size_t j = 0; j < m; j++) {
        const uint64_t *before = table->rows + j * words;
        uint64_t *row = table->rows + (j + 1) * words, carry = 0;
        const int32_t slot = *slot_of(table, a, b[j]);
        const uint64_t *mask = slot < 0 ? NULL : table->masks + (size_t)slot * words;
        for (size_t w = 0; w < words; w++) {
            uint64_t old = before[w], used = mask == NULL ? 0 : old & mask[w];
            uint64_t sum = old + used, more = sum + carry;
            carry = (sum < old) | (more < sum);
            row[w] = more | (old & ~used);
        }
    }
}

/* common_subsequence(a, b, left, right) -> length
 *
 * Index pairs of one longest common subsequence, ascending; `left` and `right` have room for len(a) of them. The one
 * that diff/lcs.py finds.
 */
static PyObject *
common_subsequence(PyObject *self, PyObject *args)
{
    PyObject *objects[4];
    Buffers buffers = {.held = 0};
    void *memory[4];
    Table table = {.odd = salted(0x9E3779B97F4A7C15u), .bits = 1};
    Py_ssize_t found = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOO", &objects[0], &objects[1], &objects[2], &objects[3]))
        return NULL;
    int good = 1;
    for (int i = 0; good && i < 4; i++)
        good = (memory[i] = hold(&buffers, objects[i], i < 2 ? 0 : buffers.views[0].len / 8, 8, i > 1)) != NULL;
    if (!good) {
        let_go(&buffers);
        return NULL;
    }
    const size_t n = (size_t)buffers.views[0].len / 8, m = (size_t)buffers.views[1].len / 8;
    const uint64_t *a = memory[0], *b = memory[1];
    int64_t *left = memory[2], *right = memory[3];
    table.words = n / 64 + 1;
    while ((size_t)1 << table.bits <= 2 * n)
        table.bits++;
    if (n <= INT32_MAX / 4 && m < PY_SSIZE_T_MAX / 8 / table.words) {
        table.rows = malloc((m + 1) * table.words * 8);
        table.masks = calloc(n + 1, table.words * 8);
        table.slots = malloc(sizeof *table.slots << table.bits);
    }
    good = table.rows != NULL && table.masks != NULL && table.slots != NULL;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        memset(table.slots, 255, sizeof *table.slots << table.bits);
        fill_rows(&table, a, n, b, m);
        size_t i = n, j = m;
#define GROWS_NOT(i, j) (table.rows[(j) * table.words + ((i) - 1) / 64] >> ((i) - 1) % 64 & 1)
        while (i && j) {
            if (GROWS_NOT(i, j)) {
                i--;
                continue;
            }
            j--;
            if (!j || GROWS_NOT(i, j)) {
                left[found] = (int64_t)--i;
                right[found++] = (int64_t)j;
            }
        }
        for (Py_ssize_t low = 0, high = found - 1; low < high; low++, high--) {
            int64_t other = left[low];
            left[low] = left[high];
            left[high] = other;
            other = right[low];
            right[low] = right[high];
            right[high] = other;
        }
        Py_END_ALLOW_THREADS
    }
    free(table.rows);
    free(table.masks);
    free(table.slots);
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(found) : PyErr_NoMemory();
}

PyMethodDef aligning_functions[] = {
    {"sample_kgrams", sample_kgrams, METH_VARARGS, "Hashes of stretches of keys."},
    {"equal_runs", equal_runs, METH_VARARGS, "Runs of equal keys on diagonals."},
    {"common_ends", common_ends, METH_VARARGS, "What the sides of gaps begin or end with."},
    {"common_subsequence", common_subsequence, METH_VARARGS, "A longest common subsequence."},
    {NULL, NULL, 0, NULL},
};
