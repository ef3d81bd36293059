/* Columns of native blocks: byte planes, dictionaries and steps of time, both ways; and sums over columns. Numbers are
 * little-endian in the planes, whatever the machine.
 */
#include "ranking.h"

#include <stdlib.h>


static int
rows_fit(Py_ssize_t n)
{
    if (n >= 0 && n <= MOST_ROWS)
        return 1;
    PyErr_SetString(PyExc_ValueError, "more rows than a block may have");
    return 0;
}

/* -- numbers to planes --------------------------------------------------------------------------------------- */

/* Writes the lowest bytes of all numbers, then the second ones, and so on, as far as any number has them: how many. */
static int
put_planes(const uint64_t *numbers, Py_ssize_t n, uint8_t *out)
{
    uint64_t all = 0;
    int used = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        all |= numbers[i];
    for (; all; all >>= 8, used++, out += n)
        for (Py_ssize_t i = 0; i < n; i++)
            out[i] = (uint8_t)(numbers[i] >> 8 * used);
    return used;
}

/* split(numbers, n, out) -> planes used
 *
 * `out` has room for 8 n bytes.
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
        used = put_planes(numbers, n, out);
        Py_END_ALLOW_THREADS
    }
    let_go(&buffers);
    return out ? PyLong_FromLong(used) : NULL;
}

/* -- dictionaries -------------------------------------------------------------------------------------------- */

static inline Slot *
slot_of(Slot *slots, const Table *table, uint64_t value)
{
    size_t at = (size_t)((value * table->odd) >> (64 - table->bits));
    while (slots[at].number && slots[at].value != value)
        at = (at + 1) & (((size_t)1 << table->bits) - 1);
    return &slots[at];
}

/* Doubles the table, in which are the first `count` of `sorted`; 0 where there is no memory. */
static int
table_grow(Table *table, Py_ssize_t count)
{
    Slot *wider = calloc((size_t)1 << (table->bits + 1), sizeof *wider);
    if (!wider)
        return 0;
    free(table->slots);
    table->slots = wider;
    table->bits++;
    for (Py_ssize_t i = 0; i < count; i++)
        *slot_of(wider, table, table->sorted[i].value) = table->sorted[i];
    return 1;
}

/* How many distinct numbers there are, ascending in `dictionary` (room for `most`), but those used often first; and their
 * places in it as two planes of n bytes.
 */
static Py_ssize_t
look_up_all(const uint64_t *numbers, Py_ssize_t n, Py_ssize_t most, uint64_t *dictionary, uint8_t *out)
{
    Table table;
    Py_ssize_t count = 0;
    if (!table_start(&table, n))
        return NO_MEMORY;
    for (Py_ssize_t i = 0; i < n; i++) {
        Slot *slot = slot_of(table.slots, &table, numbers[i]);
        if (!slot->number) {
            if (count == most) {
                count = TOO_MANY;
                break;
            }
            slot->value = numbers[i];
            slot->number = (uint32_t)(count + 1);
            table.sorted[count++] = *slot;
            if (count << 2 > (Py_ssize_t)1 << table.bits) {
                if (!table_grow(&table, count)) {
                    count = NO_MEMORY;
                    break;
                }
            }
            table.of_row[i] = (uint16_t)(count - 1);
        } else
            table.of_row[i] = (uint16_t)(slot->number - 1);
    }
    if (count > 0) {
        sort_all(&table, count);
        rank_all(&table, n, count, out);
        for (Py_ssize_t place = 0; place < count; place++)
            dictionary[place] = table.sorted[place].value;
    }
    table_end(&table);
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
    Py_ssize_t n, most, count = NO_MEMORY;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOO", &from, &n, &most, &to_dictionary, &to) || !rows_fit(n))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint64_t *numbers = hold(&buffers, from, n, 8, 0);
    uint64_t *dictionary = numbers ? hold(&buffers, to_dictionary, most, 8, 1) : NULL;
    uint8_t *out = dictionary ? hold(&buffers, to, n * 2, 1, 1) : NULL;
    if (out) {
        Py_BEGIN_ALLOW_THREADS
        count = look_up_all(numbers, n, most, dictionary, out);
        Py_END_ALLOW_THREADS
        if (count == NO_MEMORY)
            PyErr_NoMemory();
    }
    let_go(&buffers);
    return count == NO_MEMORY ? NULL : PyLong_FromSsize_t(count);
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

/* -- times --------------------------------------------------------------------------------------------------- */

#define ESCAPE 255

/* n > 0 times as steps in `unit`: a byte each in `small`, those that are negative or do not fit in `large` (room for
 * n + 1); how many these are, or -1 where the unit does not divide a time. Inlined for each unit, as to divide by what is
 * known is several times faster.
 */
static inline Py_ssize_t
steps_in(const int64_t *times, Py_ssize_t n, int64_t unit, uint8_t *small, int64_t *large)
{
    int64_t before = times[0] / unit;
    Py_ssize_t many = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t now = times[i] / unit, step = (int64_t)((uint64_t)now - (uint64_t)before);
        int fits = (uint64_t)step < ESCAPE;
        if (now * unit != times[i])
            return -1;
        before = now;
        small[i] = fits ? (uint8_t)step : ESCAPE;
        large[many] = step;
        many += !fits;
    }
    return many;
}

/* The same in the coarsest unit that divides all. */
static Py_ssize_t
steps_of(const int64_t *times, Py_ssize_t n, uint8_t *small, int64_t *large, int64_t *unit)
{
    Py_ssize_t many = steps_in(times, n, *unit = 1000000, small, large);
    if (many < 0)
        many = steps_in(times, n, *unit = 1000, small, large);
    return many < 0 ? steps_in(times, n, *unit = 1, small, large) : many;
}

/* steps(times, n, small, large) -> (first, unit, how many are large)
 *
 * Differences of n > 0 nanoseconds in the coarsest unit that is exact, a byte each in `small`; ESCAPE for those that are
 * negative or do not fit, which are in `large` (room for n + 1).
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
    int64_t *large = small ? hold(&buffers, to_large, n + 1, 8, 1) : NULL;
    int64_t unit = 1000000, first = 0;
    if (large && n) {
        Py_BEGIN_ALLOW_THREADS
        many = steps_of(times, n, small, large, &unit);
        first = times[0] / unit;
        Py_END_ALLOW_THREADS
    }
    int good = large != NULL;
    let_go(&buffers);
    return good ? Py_BuildValue("LLn", (long long)first, (long long)unit, many) : NULL;
}

/* -- whole columns ------------------------------------------------------------------------------------------- */

/* Encodings, as a block's directory numbers them, and what a column is. */
enum { CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA };
enum { ANY, KINDS, TIMES, ADDRESSES };

/* Row i of a column of integers, as 64 bits. */
static inline uint64_t
number_at(const void *data, int size, int is_signed, Py_ssize_t i)
{
    switch (size) {
    case 1: return is_signed ? (uint64_t)(int64_t)((const int8_t *)data)[i] : ((const uint8_t *)data)[i];
    case 2: return is_signed ? (uint64_t)(int64_t)((const int16_t *)data)[i] : ((const uint16_t *)data)[i];
    case 4: return is_signed ? (uint64_t)(int64_t)((const int32_t *)data)[i] : ((const uint32_t *)data)[i];
    default: return ((const uint64_t *)data)[i];
    }
}

/* The numbers of the rows that are present, in order: how many. */
static inline Py_ssize_t
gather_as(const void *data, int size, int is_signed, Py_ssize_t n, const uint8_t *present, uint64_t *out)
{
    Py_ssize_t count = 0;
    if (!present)
        for (; count < n; count++)
            out[count] = number_at(data, size, is_signed, count);
    else
        for (Py_ssize_t i = 0; i < n; i++) {
            out[count] = number_at(data, size, is_signed, i);
            count += present[i] != 0;
        }
    return count;
}

static Py_ssize_t
gather(const void *data, int size, int is_signed, Py_ssize_t n, const uint8_t *present, uint64_t *out)
{
    switch (size) {
    case 1: return gather_as(data, 1, is_signed, n, present, out);
    case 8: return gather_as(data, 8, is_signed, n, present, out);
    default: return gather_as(data, size, is_signed, n, present, out);
    }
}

static inline uint64_t
zigzag(uint64_t number)
{
    return number << 1 ^ (0 - (number >> 63));
}

/* What is known of a column that was packed; see `pack_column`. */
typedef struct {
    int encoding, planes, word_planes, negative;
    Py_ssize_t rows, words;
    int64_t first, unit;
    uint64_t low, high, members[4];
} Packed;

static void
pack_times(Packed *made, const int64_t *times, uint8_t *out, int64_t *large, uint8_t *out_large)
{
    Py_ssize_t n = made->rows;
    int64_t low = times[0], high = times[0];
    for (Py_ssize_t i = 0; i < n; i++) {
        low = times[i] < low ? times[i] : low;
        high = times[i] > high ? times[i] : high;
    }
    made->low = (uint64_t)low;
    made->high = (uint64_t)high;
    made->encoding = DELTA;
    made->words = steps_of(times, n, out, large, &made->unit);
    made->first = times[0] / made->unit;
    made->planes = 1;
    for (Py_ssize_t i = 0; i < made->words; i++)
        made->negative |= large[i] < 0;
    for (Py_ssize_t i = 0; made->negative && i < made->words; i++)
        large[i] = (int64_t)zigzag((uint64_t)large[i]);
    made->word_planes = put_planes((const uint64_t *)large, made->words, out_large);
}

/* 0 where there is no memory. */
static int
pack_numbers(Packed *made, int what, const uint64_t *numbers, uint8_t *out, uint64_t *dictionary, uint8_t *out_words)
{
    Py_ssize_t n = made->rows, count = TOO_MANY;
    uint64_t all = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        all |= numbers[i];
    if (what == ADDRESSES || (what == ANY && all > 255))
        count = look_up_all(numbers, n, what == ADDRESSES ? n : n / 4, dictionary, out);
    if (count == NO_MEMORY)
        return 0;
    if (count == TOO_MANY) {
        made->encoding = PLAIN;
        made->planes = put_planes(numbers, n, out);
        return 1;
    }
    made->encoding = what == ADDRESSES ? ADDRESS : DICTIONARY;
    made->words = count;
    made->planes = count > 256 ? 2 : count > 1;
    if (what == ADDRESSES) {
        Py_ssize_t often = count > OFTEN ? OFTEN : count;
        made->low = dictionary[0];
        made->high = dictionary[count - 1];
        if (often < count && dictionary[often] < made->low)
            made->low = dictionary[often];
        if (dictionary[often - 1] > made->high)
            made->high = dictionary[often - 1];
        for (Py_ssize_t i = count; --i > 0;)
            if (i != often)
                dictionary[i] -= dictionary[i - 1];
    }
    made->word_planes = put_planes(dictionary, count, out_words);
    return 1;
}

/* Unsigned bytes: they are their only plane. */
static void
pack_bytes(Packed *made, const uint8_t *data, Py_ssize_t n, const uint8_t *present, int what, uint8_t *out)
{
    Py_ssize_t count = 0;
    uint8_t seen[256] = {0};
    if (present)
        for (Py_ssize_t i = 0; i < n; i++) {
            out[count] = data[i];
            count += present[i] != 0;
        }
    else
        memcpy(out, data, (size_t)(count = n));
    made->rows = count;
    if (!count)
        return;
    for (Py_ssize_t i = 0; what == KINDS && i < count; i++)
        seen[out[i]] = 1;
    for (int kind = 0; kind < 256; kind++)
        made->members[kind >> 6] |= (uint64_t)seen[kind] << (kind & 63);
    if (!memcmp(out, out + 1, (size_t)(count - 1)))
        made->low = made->high = out[0];
    else {
        made->encoding = PLAIN;
        made->planes = 1;
    }
}

/* 0 where there is no memory. `room` has room for 4 (n + 1) numbers. */
static int
pack_all(Packed *made, const void *data, int size, int is_signed, Py_ssize_t n, const uint8_t *present, int what,
         uint64_t *room)
{
    uint64_t *words = room + (n + 1), *scratch = room + 3 * (n + 1), differing = 0;
    uint8_t *out = (uint8_t *)room, *out_words = (uint8_t *)(room + 2 * (n + 1));
    if (size == 1 && !is_signed && what != ADDRESSES) {
        pack_bytes(made, data, n, present, what, out);
        return 1;
    }
    if (what != ADDRESSES && n && !memcmp(data, (const uint8_t *)data + size, (size_t)((n - 1) * size))) {
        /* Absent rows, too: by far the fastest to find. */
        made->rows = present ? 0 : n;
        for (Py_ssize_t i = 0; present && i < n; i++)
            made->rows += present[i] != 0;
        made->low = made->high = number_at(data, size, is_signed, 0);
        return 1;
    }
    const uint64_t *numbers = data;
    if (present || size != 8) {
        numbers = scratch;
        made->rows = gather(data, size, is_signed, n, present, scratch);
    } else
        made->rows = n;
    Py_ssize_t count = made->rows;
    for (Py_ssize_t i = 0; i < count; i++)
        differing |= numbers[i] ^ numbers[0];
    if (!count || (!differing && what != ADDRESSES)) {
        made->low = made->high = count ? numbers[0] : 0;
        return 1;
    }
    if (what == TIMES) {
        pack_times(made, (const int64_t *)numbers, out, (int64_t *)words, out_words);
        return 1;
    }
    if (is_signed && what != ADDRESSES) {
        for (Py_ssize_t i = 0; i < count; i++)
            scratch[i] = zigzag(numbers[i]);
        numbers = scratch;
    }
    if (!pack_numbers(made, what, numbers, out, words, out_words))
        return 0;
    if (!differing)
        made->encoding = CONSTANT;
    return 1;
}

/* pack_column(data, n, size, signed, present or None, what, room)
 * -> (encoding, rows, low, high, planes, words, planes of words, first, unit, negative, members)
 *
 * Packs the rows of a column of n integers of `size` bytes that are present, and gives how many they are. If there are
 * any, `room` has, for n + 1 numbers each: the planes, `rows` bytes each, of the numbers (signed ones zigzagged), of
 * their places in a dictionary, or of steps of times; scratch; the planes, `words` bytes each, of the dictionary (of
 * addresses: as differences) or of the steps that are no byte, zigzagged if any is negative; scratch.
 *
 * `low` and `high` are the least and the most, for times and addresses, and of a constant. `members` is a set of 256 bits
 * of the kinds.
 */
static PyObject *
pack_column(PyObject *self, PyObject *args)
{
    PyObject *column, *mask, *to;
    Py_ssize_t n;
    int size, is_signed, what;
    (void)self;
    if (!PyArg_ParseTuple(args, "OniiOiO", &column, &n, &size, &is_signed, &mask, &what, &to) || !rows_fit(n))
        return NULL;
    if ((size != 1 && size != 2 && size != 4 && size != 8) || (what == TIMES && (size != 8 || !is_signed)) ||
        (what == KINDS && (size != 1 || is_signed))) {
        PyErr_SetString(PyExc_ValueError, "no such column");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    const void *data = hold(&buffers, column, n, size, 0);
    const uint8_t *present = data && mask != Py_None ? hold(&buffers, mask, n, 1, 0) : NULL;
    uint64_t *room = data && (present || mask == Py_None) ? hold(&buffers, to, 4 * (n + 1), 8, 1) : NULL;
    Packed made = {.encoding = CONSTANT};
    int good = room != NULL;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        good = pack_all(&made, data, size, is_signed, n, present, what, room);
        Py_END_ALLOW_THREADS
        if (!good)
            PyErr_NoMemory();
    }
    let_go(&buffers);
    if (!good)
        return NULL;
    uint8_t members[32];
    for (int i = 0; i < 32; i++)
        members[i] = (uint8_t)(made.members[i >> 3] >> 8 * (i & 7));
    return Py_BuildValue(is_signed ? "inLLiniLLiy#" : "inKKiniLLiy#", made.encoding, made.rows, made.low, made.high,
                         made.planes, made.words, made.word_planes, (long long)made.first, (long long)made.unit,
                         made.negative, members, (Py_ssize_t)sizeof members);
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

/* -- times back ------------------------------------------------------------------------------------------------ */

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
    {"pack_column", pack_column, METH_VARARGS, "A column as what a block has of it."},
    {"steps", steps, METH_VARARGS, "Times to steps."},
    {"sum_steps", sum_steps, METH_VARARGS, "Steps to times."},
    {NULL, NULL, 0, NULL},
};
