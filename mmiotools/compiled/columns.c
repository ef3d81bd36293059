/* Columns of native blocks: byte planes, dictionaries and steps of time, both ways; and sums over columns. Numbers are
 * little-endian in the planes, whatever the machine.
 */
#include "speed.h"

#include <stdlib.h>

/* No block has more rows. */
#define MOST_ROWS 65536

static int
rows_fit(Py_ssize_t n)
{
    if (n >= 0 && n <= MOST_ROWS)
        return 1;
    PyErr_SetString(PyExc_ValueError, "more rows than a block may have");
    return 0;
}

/* -- numbers to planes --------------------------------------------------------------------------------------- */

static int
bytes_of(uint64_t number)
{
    int used = 0;
    for (; number; number >>= 8)
        used++;
    return used;
}

/* split(numbers, n, out) -> planes used
 *
 * Writes the lowest bytes of all numbers, then the second ones, and so on, as far as any number has them. `out` has
 * room for 8 n bytes.
 */
static PyObject *
split(PyObject *self, PyObject *args)
{
    PyObject *from, *to;
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnO", &from, &n, &to) || !rows_fit(n))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *numbers = hold(&buffers, from, n, 8, 0);
    uint8_t *out = numbers ? hold(&buffers, to, n * 8, 1, 1) : NULL;
    int used = 0;
    if (out) {
        Py_BEGIN_ALLOW_THREADS
        uint64_t all = 0;
        for (Py_ssize_t i = 0; i < n; i++)
            all |= numbers[i];
        used = bytes_of(all);
        for (int place = 0; place < used; place++, out += n)
            for (Py_ssize_t i = 0; i < n; i++)
                out[i] = (uint8_t)(numbers[i] >> 8 * place);
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return out ? PyLong_FromLong(used) : NULL;
}

/* -- dictionaries -------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t value;
    uint32_t code, used;
} Slot;

/* Memory of `codes`: a hash table of 1 << bits slots, more than there are values; and the slot of each row. */
typedef struct {
    Slot *slots;
    uint32_t *slot_of_row;
    int bits;
} Table;

static inline Py_ssize_t
slot_of(const Table *table, uint64_t value)
{
    Py_ssize_t at = (Py_ssize_t)((value * 0x9E3779B97F4A7C15u) >> (64 - table->bits));
    while (table->slots[at].used && table->slots[at].value != value)
        at = (at + 1) & (((Py_ssize_t)1 << table->bits) - 1);
    return at;
}

static int
ascending(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* How many distinct numbers there are, ascending in `dictionary`, and their places in it as two planes; -1 where there
 * are more than `most`.
 */
static Py_ssize_t
look_up_all(const uint64_t *numbers, Py_ssize_t n, Py_ssize_t most, uint64_t *dictionary, uint8_t *out, Table *table)
{
    Py_ssize_t count = 0, at = 0;
    Slot *slots = table->slots;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!i || numbers[i] != numbers[i - 1])
            at = slot_of(table, numbers[i]);
        table->slot_of_row[i] = (uint32_t)at;
        if (slots[at].used)
            continue;
        if (count == most)
            return -1;
        slots[at].used = 1;
        slots[at].value = dictionary[count++] = numbers[i];
    }
    qsort(dictionary, (size_t)count, sizeof *dictionary, ascending);
    for (Py_ssize_t code = 0; code < count; code++)
        slots[slot_of(table, dictionary[code])].code = (uint32_t)code;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint32_t code = slots[table->slot_of_row[i]].code;
        out[i] = (uint8_t)code;
        out[n + i] = (uint8_t)(code >> 8);
    }
    return count;
}

/* codes(numbers, n, most, dictionary, out) -> size of the dictionary, or -1 where it would be more than `most`
 *
 * `dictionary` has room for `most` numbers, `out` for 2 n bytes: the codes as two planes.
 */
static PyObject *
codes(PyObject *self, PyObject *args)
{
    PyObject *from, *to_dictionary, *to;
    Py_ssize_t n, most, count = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOO", &from, &n, &most, &to_dictionary, &to) || !rows_fit(n))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *numbers = hold(&buffers, from, n, 8, 0);
    uint64_t *dictionary = numbers ? hold(&buffers, to_dictionary, most, 8, 1) : NULL;
    uint8_t *out = dictionary ? hold(&buffers, to, n * 2, 1, 1) : NULL;
    Table table = {.bits = 2};
    while ((Py_ssize_t)1 << table.bits < (most < n ? most + 1 : n) * 2)
        table.bits++;
    if (out) {
        table.slots = calloc((size_t)1 << table.bits, sizeof *table.slots);
        table.slot_of_row = malloc((size_t)(n ? n : 1) * sizeof *table.slot_of_row);
        if (!table.slots || !table.slot_of_row)
            PyErr_NoMemory();
    }
    int good = table.slots && table.slot_of_row;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        count = look_up_all(numbers, n, most, dictionary, out, &table);
        Py_END_ALLOW_THREADS
    }
    free(table.slots);
    free(table.slot_of_row);
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(count) : NULL;
}

/* alike(column, size) -> whether all its items of `size` bytes are the same */
static PyObject *
alike(PyObject *self, PyObject *args)
{
    PyObject *column;
    Py_ssize_t size;
    (void)self;
    if (!PyArg_ParseTuple(args, "On", &column, &size))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint8_t *bytes = hold(&buffers, column, 0, 1, 0);
    if (!bytes)
        return NULL;
    Py_ssize_t all = buffers.views[0].len;
    int same = size > 0 && (all <= size || !memcmp(bytes, bytes + size, (size_t)(all - size)));
    let_go(&buffers);
    return PyBool_FromLong(same);
}

/* -- planes to numbers --------------------------------------------------------------------------------------- */

typedef union {
    uint8_t *u1;
    uint16_t *u2;
    uint32_t *u4;
    uint64_t *u8;
} Out;

static inline void
put(Out out, int size, Py_ssize_t row, uint64_t number)
{
    switch (size) {
    case 1: out.u1[row] = (uint8_t)number; break;
    case 2: out.u2[row] = (uint16_t)number; break;
    case 4: out.u4[row] = (uint32_t)number; break;
    default: out.u8[row] = number;
    }
}

/* The numbers of `count` planes; 0 where a code is beyond the dictionary. */
static int
join_rows(const uint8_t *const *planes, int count, Py_ssize_t n, const uint64_t *dictionary, uint64_t known, int zigzag,
          Out out, int size)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t number = 0;
        for (int place = 0; place < count; place++)
            number |= (uint64_t)planes[place][i] << 8 * place;
        if (dictionary) {
            if (number >= known)
                return 0;
            number = dictionary[number];
        }
        if (zigzag)
            number = number >> 1 ^ (0 - (number & 1));
        put(out, size, i, number);
    }
    return 1;
}

/* join(planes, n, dictionary or None, zigzag, size, out)
 *
 * `planes` is a list of at most 8 objects of n bytes each. The numbers, or what the dictionary has for them, go to `out`
 * as n numbers of `size` bytes, higher bytes are dropped. Raises ValueError where a code is beyond the dictionary.
 */
static PyObject *
join(PyObject *self, PyObject *args)
{
    PyObject *list, *words, *to;
    Py_ssize_t n;
    int zigzag, size, good = 0, known = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!nOiiO", &PyList_Type, &list, &n, &words, &zigzag, &size, &to) || !rows_fit(n))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count > 8 || (size != 1 && size != 2 && size != 4 && size != 8)) {
        PyErr_SetString(PyExc_ValueError, "too many planes, or no such size");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    const uint8_t *planes[8];
    const uint64_t *dictionary = NULL;
    Out out = {.u1 = hold(&buffers, to, n, size, 1)};
    good = out.u1 != NULL;
    for (Py_ssize_t place = 0; good && place < count; place++)
        good = (planes[place] = hold(&buffers, PyList_GetItem(list, place), n, 1, 0)) != NULL;
    uint64_t entries = 0;
    if (good && words != Py_None) {
        good = (dictionary = hold(&buffers, words, 0, 8, 0)) != NULL;
        entries = good ? (uint64_t)buffers.views[buffers.held - 1].len / 8 : 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        /* The usual cases apart, so that the compiler makes loops without branches of them. */
        if (count == 1 && !dictionary && !zigzag && size == 1)
            memcpy(out.u1, planes[0], (size_t)n);
        else if (count == 1)
            known = join_rows(planes, 1, n, dictionary, entries, zigzag, out, size);
        else if (count == 2)
            known = join_rows(planes, 2, n, dictionary, entries, zigzag, out, size);
        else
            known = join_rows(planes, (int)count, n, dictionary, entries, zigzag, out, size);
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    if (good && !known)
        PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    return good && known ? Py_NewRef(Py_None) : NULL;
}

/* -- times --------------------------------------------------------------------------------------------------- */

#define ESCAPE 255

/* steps(times, n, small, large) -> (first, unit, how many are large)
 *
 * Differences of n > 0 nanoseconds in the coarsest unit that is exact, a byte each in `small`; ESCAPE for those that are
 * negative or do not fit, which are in `large` (room for n).
 */
static PyObject *
steps(PyObject *self, PyObject *args)
{
    PyObject *from, *to_small, *to_large;
    Py_ssize_t n, many = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnOO", &from, &n, &to_small, &to_large) || !rows_fit(n))
        return NULL;
    Buffers buffers = {.held = 0};
    const int64_t *times = hold(&buffers, from, n, 8, 0);
    uint8_t *small = times ? hold(&buffers, to_small, n, 1, 1) : NULL;
    int64_t *large = small ? hold(&buffers, to_large, n, 8, 1) : NULL;
    int64_t unit = 1000000, first = 0;
    if (large && n) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < n && unit > 1; i++)
            while (times[i] % unit)
                unit /= 1000;
        int64_t before = first = times[0] / unit;
        for (Py_ssize_t i = 0; i < n; i++) {
            int64_t now = times[i] / unit, step = (int64_t)((uint64_t)now - (uint64_t)before);
            before = now;
            if (step >= 0 && step < ESCAPE) {
                small[i] = (uint8_t)step;
                continue;
            }
            small[i] = ESCAPE;
            large[many++] = step;
        }
        Py_END_ALLOW_THREADS
    }
    int good = large != NULL;
    let_go(&buffers);
    return good ? Py_BuildValue("LLn", (long long)first, (long long)unit, many) : NULL;
}

/* sum_steps(small, n, large, many, first, unit, out)
 *
 * The inverse: n times. `many` is how many of `small` are ESCAPE. Arithmetic is modulo 2^64, as numpy's is.
 */
static PyObject *
sum_steps(PyObject *self, PyObject *args)
{
    PyObject *from_small, *from_large, *to;
    Py_ssize_t n, many, used = 0;
    long long first, unit;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnOnLLO", &from_small, &n, &from_large, &many, &first, &unit, &to) || !rows_fit(n))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint8_t *small = hold(&buffers, from_small, n, 1, 0);
    const uint64_t *large = small ? hold(&buffers, from_large, many, 8, 0) : NULL;
    uint64_t *out = large ? hold(&buffers, to, n, 8, 1) : NULL;
    int good = out != NULL;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        uint64_t now = (uint64_t)first;
        for (Py_ssize_t i = 0; i < n; i++) {
            now += small[i] != ESCAPE ? small[i] : used < many ? large[used++] : 0;
            out[i] = now * (uint64_t)unit;
        }
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return good ? Py_NewRef(Py_None) : NULL;
}

/* -- the part ------------------------------------------------------------------------------------------------ */

PyMethodDef column_functions[] = {
    {"split", split, METH_VARARGS, "Numbers to byte planes."},
    {"codes", codes, METH_VARARGS, "Numbers to a dictionary and codes."},
    {"alike", alike, METH_VARARGS, "Whether all items are the same."},
    {"join", join, METH_VARARGS, "Byte planes to numbers."},
    {"steps", steps, METH_VARARGS, "Times to steps."},
    {"sum_steps", sum_steps, METH_VARARGS, "Steps to times."},
    {NULL, NULL, 0, NULL},
};
