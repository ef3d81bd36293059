/* Distinct rows of a block: what several columns say together. The twin is in formats/native_planes.py. */
#include "ranking.h"

#include <stdlib.h>

/* Columns that one call takes. */
#define MOST_COLUMNS 8

/* What the rows have, word by word: columns of 64 bits as they are, and of bytes that follow each other, put together. */
typedef struct {
    const uint64_t *of[MOST_COLUMNS];
    uint64_t *made;
    int width;
} Words;

/* What is known of the distinct rows: the words of each, and their hashes; the hash table has which they are, from 1. */
typedef struct {
    uint64_t *words, *hashes;
    uint32_t *slots;
    int bits;
} Rows;

/* Puts columns of n numbers of 1 or 8 bytes together; 0 where there is no memory. */
static int
make_words(Words *words, const void *const *columns, const int *sizes, int width, Py_ssize_t n)
{
    *words = (Words){.made = malloc(((size_t)n * (size_t)width + 1) * sizeof *words->made)};
    if (!words->made)
        return 0;
    for (int c = 0; c < width; c++) {
        if (sizes[c] == 8) {
            words->of[words->width++] = columns[c];
            continue;
        }
        const uint8_t *bytes = columns[c];
        int begins = !c || sizes[c - 1] == 8;
        words->width += begins;
        uint64_t *to = words->made + (size_t)(words->width - 1) * (size_t)n;
        words->of[words->width - 1] = to;
        for (Py_ssize_t i = 0; i < n; i++)
            to[i] = begins ? bytes[i] : to[i] << 8 | bytes[i];
    }
    return 1;
}

/* Doubles the hash table; 0 where there is no memory. */
static int
rows_grow(Rows *rows, Py_ssize_t count)
{
    int bits = rows->bits + 1;
    size_t mask = ((size_t)1 << bits) - 1;
    uint32_t *wider = calloc(mask + 1, sizeof *wider);
    if (!wider)
        return 0;
    free(rows->slots);
    rows->slots = wider;
    rows->bits = bits;
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t at = (size_t)(rows->hashes[i] >> (64 - bits));
        while (wider[at])
            at = (at + 1) & mask;
        wider[at] = (uint32_t)(i + 1);
    }
    return 1;
}

/* Numbers the distinct rows, at most `most`, as they are met: how many. `width` words each, which compilers are to know. */
static inline Py_ssize_t
number_rows(const Words *from, int width, Py_ssize_t n, Py_ssize_t most, Rows *rows, uint16_t *of_row)
{
    static const uint64_t plain[MOST_COLUMNS] = {
        0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu, 0xD6E8FEB86659FD93u, 0xA0761D6478BD642Fu,
        0xE7037ED1A0B428DBu, 0x8EBC6AF09C88C6E3u, 0x589965CC75374CC3u, 0x1D8E4E27C47D124Fu,
    };
    uint64_t odd[MOST_COLUMNS];
    for (int c = 0; c < width; c++)
        odd[c] = salted(plain[c]);
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t words[MOST_COLUMNS], hash = 0;
        for (int c = 0; c < width; c++) {
            words[c] = from->of[c][i];
            hash += words[c] * odd[c];
        }
        hash = (hash ^ hash >> 32) * odd[0];
        size_t mask = ((size_t)1 << rows->bits) - 1, at = (size_t)(hash >> (64 - rows->bits));
        Py_ssize_t number = count;
        for (; rows->slots[at]; at = (at + 1) & mask) {
            uint32_t other = rows->slots[at] - 1;
            uint64_t differing = rows->hashes[other] ^ hash;
            for (int c = 0; c < width; c++)
                differing |= rows->words[(size_t)other * (size_t)width + (size_t)c] ^ words[c];
            if (!differing) {
                number = other;
                break;
            }
        }
        of_row[i] = (uint16_t)number;
        if (number < count)
            continue;
        if (count == most)
            return TOO_MANY;
        rows->hashes[count] = hash;
        for (int c = 0; c < width; c++)
            rows->words[(size_t)count * (size_t)width + (size_t)c] = words[c];
        rows->slots[at] = (uint32_t)++count;
        if (count << 2 > (Py_ssize_t)1 << rows->bits && !rows_grow(rows, count))
            return NO_MEMORY;
    }
    return count;
}

/* How many distinct rows there are, see `distinct_rows`. */
static Py_ssize_t
rank_rows(const Words *words, Py_ssize_t n, Py_ssize_t most, int32_t *one_of, uint8_t *out)
{
    Table table;
    if (!table_start(&table, n))
        return NO_MEMORY;
    size_t room = (size_t)most + 1;
    int width = words->width;
    Rows rows = {.bits = 10};
    rows.words = malloc(room * (size_t)(width + 1) * sizeof *rows.words);
    rows.slots = calloc((size_t)1 << rows.bits, sizeof *rows.slots);
    Py_ssize_t count = NO_MEMORY;
    if (rows.words && rows.slots) {
        rows.hashes = rows.words + room * (size_t)width;
        count = width == 4   ? number_rows(words, 4, n, most, &rows, table.of_row)
                : width == 3 ? number_rows(words, 3, n, most, &rows, table.of_row)
                             : number_rows(words, width, n, most, &rows, table.of_row);
    }
    if (count > 0) {
        for (Py_ssize_t i = 0; i < count; i++)
            table.sorted[i].number = (uint32_t)(i + 1);
        for (int c = width - 1; c >= 0; c--) {
            for (Py_ssize_t i = 0; i < count; i++)
                table.sorted[i].value = rows.words[(size_t)(table.sorted[i].number - 1) * (size_t)width + (size_t)c];
            sort_all(&table, count);
        }
        rank_all(&table, n, count, out);
        for (Py_ssize_t i = 0; i < n; i++)
            one_of[table.places[table.of_row[i]]] = (int32_t)i;
    }
    free(rows.words);
    free(rows.slots);
    table_end(&table);
    return count;
}

/* distinct_rows(columns, n, most, one_of, out) -> how many distinct rows there are, or -1 where it would be more than `most`
 *
 * Each column is a pair: its n numbers, and of how many bytes they are, 1 or 8. The rows are sorted by their numbers, the first
 * column first, but those used often first. `one_of` has room for `most` int32, which of the n rows is the last that is this
 * one; `out` for 2 n bytes: the places of the n rows among the distinct ones as two planes.
 */
static PyObject *
distinct_rows(PyObject *self, PyObject *args)
{
    PyObject *list, *rows_object, *to;
    Py_ssize_t n, most, count = NO_MEMORY;
    const void *columns[MOST_COLUMNS];
    int sizes[MOST_COLUMNS];
    (void)self;
    if (!PyArg_ParseTuple(args, "O!nnOO", &PyTuple_Type, &list, &n, &most, &rows_object, &to))
        return NULL;
    Py_ssize_t width = PyTuple_Size(list);
    if (n < 0 || n > MOST_ROWS || most < 0 || most > n || width < 1 || width > MOST_COLUMNS) {
        PyErr_SetString(PyExc_ValueError, "more than a block may have");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    int good = 1;
    for (Py_ssize_t c = 0; good && c < width; c++) {
        PyObject *data, *pair = PyTuple_GetItem(list, c);
        int size = 0;
        good = PyTuple_Check(pair) && PyArg_ParseTuple(pair, "Oi", &data, &size);
        if (good && size != 1 && size != 8)
            good = 0;
        if (good)
            good = (columns[c] = hold(&buffers, data, n, size, 0)) != NULL;
        sizes[c] = size;
    }
    int32_t *one_of = good ? hold(&buffers, rows_object, most, sizeof *one_of, 1) : NULL;
    uint8_t *out = one_of ? hold(&buffers, to, n * 2, 1, 1) : NULL;
    if (out) {
        Py_BEGIN_ALLOW_THREADS
        Words words;
        if (make_words(&words, columns, sizes, (int)width, n)) {
            count = rank_rows(&words, n, most, one_of, out);
            free(words.made);
        }
        Py_END_ALLOW_THREADS
        if (count == NO_MEMORY)
            PyErr_NoMemory();
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "no pair of numbers and their size");
    let_go(&buffers);
    return count == NO_MEMORY ? NULL : PyLong_FromSsize_t(count);
}

PyMethodDef sharing_functions[] = {
    {"distinct_rows", distinct_rows, METH_VARARGS, "Distinct rows of columns."},
    {NULL, NULL, 0, NULL},
};
