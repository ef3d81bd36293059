/* What `diff` does with every key. The twins are in diff/anchors.py and diff/stretches.py. */
#include "speed.h"

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

PyMethodDef aligning_functions[] = {
    {"sample_kgrams", sample_kgrams, METH_VARARGS, "Hashes of stretches of keys."},
    {"equal_runs", equal_runs, METH_VARARGS, "Runs of equal keys on diagonals."},
    {"common_ends", common_ends, METH_VARARGS, "What the sides of gaps begin or end with."},
    {NULL, NULL, 0, NULL},
};
