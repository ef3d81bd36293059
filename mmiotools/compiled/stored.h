/* Columns of a native block as they are stored. */
#ifndef MMIOTOOLS_STORED_H
#define MMIOTOOLS_STORED_H

#include "speed.h"

#define ESCAPE 255
/* The kind of an event whose time is not its own; and the last kind. */
enum { LOST = 6, NOTE = 10 };

/* A column of `rows` rows: a constant (planes -1), or byte planes of `count` numbers: codes of `words` where it has those, or
 * steps of time, of which each that is ESCAPE stands for the next of `large`. Row i has a number where bit i of `bitmap` is set;
 * without a bitmap all rows have. Where there are `distinct` rows, the planes say which of them each is, and the row planes have
 * the number or the code of each of these.
 */
typedef struct {
    int zigzag, planes, steps, row_planes;
    const uint8_t *plane[8], *row_plane[8], *bitmap;
    const uint64_t *words, *large;
    uint64_t known, distinct, constant, mask, sign, first, unit;
    Py_ssize_t rows, count, many;
} Stored;

static inline int
has_row(const uint8_t *bitmap, Py_ssize_t row)
{
    return bitmap[row >> 3] >> (row & 7) & 1;
}

/* How many bits are 1: those of pairs, fours and bytes, and their sum. */
static inline int
bits_set(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int)(bits * 0x0101010101010101u >> 56);
}

/* Sums of bytes, and how many are of a value: over so many at a time as a small type holds, which compilers do at once. */
static inline uint64_t
sum_of_bytes(const uint8_t *bytes, Py_ssize_t n)
{
    uint64_t sum = 0;
    while (n > 0) {
        Py_ssize_t some = n < 256 ? n : 256;
        uint16_t part = 0;
        for (Py_ssize_t i = 0; i < some; i++)
            part = (uint16_t)(part + bytes[i]);
        sum += part;
        bytes += some;
        n -= some;
    }
    return sum;
}

static inline Py_ssize_t
count_of_byte(const uint8_t *bytes, Py_ssize_t n, uint8_t value)
{
    Py_ssize_t count = 0;
    while (n > 0) {
        Py_ssize_t some = n < 255 ? n : 255;
        uint8_t part = 0;
        for (Py_ssize_t i = 0; i < some; i++)
            part = (uint8_t)(part + (bytes[i] == value));
        count += part;
        bytes += some;
        n -= some;
    }
    return count;
}

/* A number as one of the column's type: higher bits are dropped. */
static inline uint64_t
within_type(const Stored *from, uint64_t number)
{
    return ((number & from->mask) ^ from->sign) - from->sign;
}

/* What a number of the planes or the dictionary stands for. */
static inline uint64_t
meant(const Stored *from, uint64_t number)
{
    return within_type(from, from->zigzag ? number >> 1 ^ (0 - (number & 1)) : number);
}

/* What the planes say at a place. */
static inline uint64_t
code_at(const Stored *from, int planes, Py_ssize_t place)
{
    uint64_t number = 0;
    for (int i = 0; i < planes; i++)
        number |= (uint64_t)from->plane[i][place] << 8 * i;
    return number;
}

/* What the row planes say of a distinct row: a code that its dictionary has, where there is one. */
static inline uint64_t
code_of_row(const Stored *from, uint64_t row)
{
    uint64_t number = 0;
    for (int i = 0; i < from->row_planes; i++)
        number |= (uint64_t)from->row_plane[i][row] << 8 * i;
    return number;
}

/* The number of a distinct row in a column that is shared or a constant. */
static inline uint64_t
number_of_row(const Stored *from, uint64_t row)
{
    if (from->planes < 0)
        return from->constant;
    uint64_t code = code_of_row(from, row);
    return meant(from, from->words ? from->words[code] : code);
}

/* The numbers at some places of those that a column holds, ascending, those from `first` on where they are not listed; 0 where
 * a code is beyond its dictionary.
 */
int numbers_at(const Stored *from, const int32_t *places, Py_ssize_t first, Py_ssize_t count, uint64_t *out);

/* Where a column with a bitmap holds the numbers of some rows, ascending, all where `rows` is NULL; 0 where a row has none. */
int places_of(const Stored *from, const int32_t *rows, Py_ssize_t count, int32_t *places);

/* The numbers of some rows, ascending, all n where `rows` is NULL, and whether each has one; 0 where a code is beyond its
 * dictionary.
 */
int numbers_of(const Stored *from, const int32_t *rows, Py_ssize_t count, uint64_t *out, uint8_t *has);

/* Items of `size` bytes, one for each number that a column holds, moved to the rows of n that have one; 0 elsewhere. */
void spread(const Stored *from, Py_ssize_t n, uint8_t *items, int size);

/* How many of the rows from..to-1 have a number. */
Py_ssize_t rows_before(const uint8_t *bitmap, Py_ssize_t from, Py_ssize_t to);

#endif
