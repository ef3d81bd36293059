/* Numbers of columns as they are stored. */
#include "stored.h"

Py_ssize_t
rows_before(const uint8_t *bitmap, Py_ssize_t from, Py_ssize_t to)
{
    Py_ssize_t count = 0;
    for (; from < to && from & 63; from++)
        count += has_row(bitmap, from);
    for (; to - from >= 64; from += 64) {
        uint64_t bits;
        memcpy(&bits, bitmap + from / 8, sizeof bits);
        count += bits_set(bits);
    }
    for (; from < to; from++)
        count += has_row(bitmap, from);
    return count;
}

/* The bits of the rows from..from+63 of n, `from` a multiple of 64; 0 behind the last one. */
static uint64_t
bits_at(const uint8_t *bitmap, Py_ssize_t from, Py_ssize_t n)
{
    uint64_t bits = 0;
    Py_ssize_t rows = n - from < 64 ? n - from : 64;
    for (Py_ssize_t row = 0; row < rows; row += 8)
        bits |= (uint64_t)bitmap[(from + row) >> 3] << row;
    return bits;
}

/* What the numbers of a dictionary or of planes are at some places, those from `first` on where they are not listed; 0
 * where a code is beyond its dictionary.
 */
static inline int
gather(const Stored *from, int planes, const int32_t *places, Py_ssize_t first, Py_ssize_t count, uint64_t *out)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t number = code_at(from, planes, places ? places[i] : first + i);
        if (from->distinct) {
            if (number >= from->distinct)
                return 0;
            number = code_of_row(from, number);
        }
        if (from->words) {
            if (number >= from->known)
                return 0;
            number = from->words[number];
        }
        out[i] = meant(from, number);
    }
    return 1;
}

/* What the steps from..to-1 add; `used` counts those that did not fit a byte. */
static inline uint64_t
sum_of_steps(const Stored *from, Py_ssize_t at, Py_ssize_t to, Py_ssize_t *used)
{
    const uint8_t *small = from->plane[0] + at;
    uint64_t sum = sum_of_bytes(small, to - at);
    if (!from->many)
        return sum;
    Py_ssize_t escapes = count_of_byte(small, to - at, ESCAPE);
    for (Py_ssize_t i = 0; i < escapes; i++)
        sum += from->large[(*used)++] - ESCAPE;
    return sum;
}

/* The same for times. */
static void
add_steps(const Stored *from, const int32_t *places, Py_ssize_t first, Py_ssize_t count, uint64_t *out)
{
    uint64_t now = from->first;
    Py_ssize_t at = 0, used = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t stop = (places ? places[i] : first + i) + 1;
        now += sum_of_steps(from, at, stop, &used);
        at = stop;
        out[i] = now * from->unit;
    }
}

int
numbers_at(const Stored *from, const int32_t *places, Py_ssize_t first, Py_ssize_t count, uint64_t *out)
{
    if (from->planes < 0)
        for (Py_ssize_t i = 0; i < count; i++)
            out[i] = from->constant;
    else if (from->steps)
        add_steps(from, places, first, count, out);
    else
        return from->planes == 1   ? gather(from, 1, places, first, count, out)
               : from->planes == 2 ? gather(from, 2, places, first, count, out)
                                   : gather(from, from->planes, places, first, count, out);
    return 1;
}

/* A way along a bitmap: the bits of 64 rows from row `at` on, and how many rows before them have a number. */
typedef struct {
    Py_ssize_t at, before;
    uint64_t bits;
} Walk;

static inline Walk
walk_from_start(const Stored *from)
{
    return (Walk){0, 0, bits_at(from->bitmap, 0, from->rows)};
}

/* The place of a row's number, rows being asked for as they ascend; -1 where it has none. */
static inline Py_ssize_t
walk_to(Walk *walk, const Stored *from, Py_ssize_t row)
{
    if (row - walk->at >= 64) {
        Py_ssize_t next = row & ~(Py_ssize_t)63;
        walk->before += rows_before(from->bitmap, walk->at, next);
        walk->at = next;
        walk->bits = bits_at(from->bitmap, next, from->rows);
    }
    Py_ssize_t bit = row - walk->at;
    if (!(walk->bits >> bit & 1))
        return -1;
    return walk->before + bits_set(walk->bits & (((uint64_t)1 << bit) - 1));
}

int
places_of(const Stored *from, const int32_t *rows, Py_ssize_t count, int32_t *places)
{
    Walk walk = walk_from_start(from);
    for (Py_ssize_t i = 0; i < count; i++) {
        places[i] = (int32_t)walk_to(&walk, from, rows ? rows[i] : i);
        if (places[i] < 0)
            return 0;
    }
    return 1;
}

int
numbers_of(const Stored *from, const int32_t *rows, Py_ssize_t count, uint64_t *out, uint8_t *has)
{
    if (!count)
        return 1;
    Py_ssize_t first = rows ? rows[0] : 0;
    int in_one = !rows || rows[count - 1] - first == count - 1;
    if (!from->bitmap || (in_one && rows_before(from->bitmap, first, first + count) == count)) {
        memset(has, 1, (size_t)count);
        if (from->bitmap)
            first = rows_before(from->bitmap, 0, first);
        return numbers_at(from, in_one ? NULL : rows, first, count, out);
    }
    uint64_t now = from->first;
    Py_ssize_t added = 0, used = 0;
    Walk walk = walk_from_start(from);
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t place = walk_to(&walk, from, rows ? rows[i] : i);
        out[i] = 0;
        has[i] = place >= 0;
        if (!has[i])
            continue;
        if (from->planes < 0)
            out[i] = from->constant;
        else if (from->steps) {
            now += sum_of_steps(from, added, place + 1, &used);
            added = place + 1;
            out[i] = now * from->unit;
        } else {
            int32_t one = (int32_t)place;
            if (!gather(from, from->planes, &one, 0, 1, &out[i]))
                return 0;
        }
    }
    return 1;
}

void
spread(const Stored *from, Py_ssize_t n, uint8_t *items, int size)
{
    Py_ssize_t place = from->count, row = n;
    while (from->bitmap && row > place) {
        if (!(row & 7) && from->bitmap[(row >> 3) - 1] == 255) {
            row -= 8;
            place -= 8;
            memmove(items + row * size, items + place * size, 8 * (size_t)size);
        } else {
            row--;
            if (has_row(from->bitmap, row))
                memmove(items + row * size, items + --place * size, (size_t)size);
            else
                memset(items + row * size, 0, (size_t)size);
        }
    }
}

