/* Counts of accesses, of columns; those of text are in text.c. */
#include "tally.h"

int
tally_grow(Tally *tally)
{
    int bits = tally->bits + 1;
    Entry *wider = calloc((size_t)1 << bits, sizeof *wider);
    if (!wider)
        return 0;
    for (size_t i = 0; i < (size_t)1 << tally->bits; i++) {
        const Entry *entry = &tally->entries[i];
        if (entry->has)
            *tally_find(wider, bits, tally->odd, entry->addr, entry->map, entry->width, entry->has) = *entry;
    }
    free(tally->entries);
    tally->entries = wider;
    tally->bits = bits;
    return 1;
}

PyObject *
tally_finish(Tally *tally)
{
    Py_ssize_t at = 0;
    for (size_t i = 0; i < (size_t)1 << tally->bits; i++)
        if (tally->entries[i].has)
            tally->entries[at++] = tally->entries[i];
    PyObject *found = PyBytes_FromStringAndSize((const char *)tally->entries, at * (Py_ssize_t)sizeof(Entry));
    free(tally->entries);
    return found;
}

/* The end of one that came to nothing, for want of memory where no exception says why. */
static PyObject *
tally_forget(Tally *tally)
{
    free(tally->entries);
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
}

/* The column of an argument that may be None, whose present rows another one may tell: 0 with an exception set. */
static int
hold_optional(Buffers *buffers, PyObject *data, PyObject *present, Py_ssize_t n, int size, const void **column,
            const uint8_t **rows)
{
    *column = *rows = NULL;
    if (data == Py_None)
        return 1;
    if (!(*column = hold(buffers, data, n, size, 0)))
        return 0;
    return present == Py_None || (*rows = hold(buffers, present, n, 1, 0)) != NULL;
}

/* tally_rows(n, kind, addr, has addr, map, has map, width, has width) -> entries as bytes
 *
 * Counts the accesses (kind READ, WRITE or UNKNOWN) of n <= MOST_ENTRIES rows. A column may be None, and so may be the
 * bytes that say which of its rows are present: all are then.
 */
static PyObject *
tally_rows(PyObject *self, PyObject *args)
{
    PyObject *of_kind, *of[6];
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "nOOOOOOO", &n, &of_kind, &of[0], &of[1], &of[2], &of[3], &of[4], &of[5]))
        return NULL;
    if (n < 0 || n > MOST_ENTRIES) {
        PyErr_SetString(PyExc_ValueError, "more rows than a batch may have");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    const void *columns[3];
    const uint8_t *present[3], *kind = hold(&buffers, of_kind, n, 1, 0);
    int good = kind != NULL;
    for (int i = 0; good && i < 3; i++)
        good = hold_optional(&buffers, of[2 * i], of[2 * i + 1], n, i == 2 ? 1 : 8, &columns[i], &present[i]);
    Tally tally = {.count = 0};
    if (good && (good = tally_start(&tally))) {
        const uint64_t *addr = columns[0];
        const int64_t *map = columns[1];
        const uint8_t *width = columns[2];
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < n && good; i++) {
            if (kind[i] > UNKNOWN)
                continue;
            int here[3];
            for (int c = 0; c < 3; c++)
                here[c] = columns[c] && (!present[c] || present[c][i]);
            good = tally_count(&tally, kind[i], here[0] ? addr[i] : 0, here[1] ? map[i] : 0, here[2] ? width[i] : 0,
                               (uint8_t)(HAS_ANY | (here[0] ? HAS_ADDR : 0) | (here[1] ? HAS_MAP : 0) |
                                         (here[2] ? HAS_WIDTH : 0)));
        }
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? tally_finish(&tally) : tally_forget(&tally);
}

/* add_up(entries) -> entries
 *
 * Makes one of those that have the same address, map and width. Any bytes will do, as long as they are whole entries.
 */
static PyObject *
add_up(PyObject *self, PyObject *args)
{
    PyObject *from;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &from))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint8_t *bytes = hold(&buffers, from, 0, 1, 0);
    if (!bytes)
        return NULL;
    Py_ssize_t size = buffers.views[0].len;
    Tally tally = {.count = 0};
    int good = size % (Py_ssize_t)sizeof(Entry) == 0;
    if (!good)
        PyErr_SetString(PyExc_ValueError, "a part of an entry");
    else if ((good = tally_start(&tally))) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t at = 0; at < size; at += (Py_ssize_t)sizeof(Entry)) {
            Entry one;
            memcpy(&one, bytes + at, sizeof one);
            Entry *entry = tally_entry(&tally, one.addr, one.map, one.width, one.has | HAS_ANY);
            if (!(good = entry != NULL))
                break;
            for (int kind = 0; kind < 3; kind++)
                entry->counts[kind] += one.counts[kind];
        }
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? tally_finish(&tally) : tally_forget(&tally);
}

PyMethodDef tally_functions[] = {
    {"add_up", add_up, METH_VARARGS, "Entries of the same address, map and width as one."},
    {"tally_rows", tally_rows, METH_VARARGS, "Counts of accesses by address, map and width."},
    {NULL, NULL, 0, NULL},
};
