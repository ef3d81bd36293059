/* Columns of a native block as they are stored. */
#ifndef MMIOTOOLS_STORED_H
#define MMIOTOOLS_STORED_H

#include "speed.h"

/* No block has more rows. */
#define MOST_ROWS 65536
#define ESCAPE 255
/* The kind of an event whose time is not its own; and the last kind. */
enum { LOST = 6, NOTE = 10 };

/* A column: a constant (planes -1), or byte planes of `count` numbers: codes of `words` where it has those, or steps of
 * time. Row i has a number where bit i of `bitmap` is set; without a bitmap all rows have.
 */
typedef struct {
    int zigzag, is_signed, planes, steps;
    const uint8_t *plane[8], *bitmap;
    const uint64_t *words, *large;
    uint64_t known, constant, mask, sign, first, unit;
    Py_ssize_t count, many;
} Stored;

static inline int
has_row(const uint8_t *bitmap, Py_ssize_t row)
{
    return bitmap[row >> 3] >> (row & 7) & 1;
}

/* A number as one of the column's type: higher bits are dropped. */
static inline uint64_t
within_type(const Stored *from, uint64_t number)
{
    return ((number & from->mask) ^ from->sign) - from->sign;
}

/* Reads (bits, zigzag, planes or a constant, words or None, bitmap or None, (first, unit, large) or None) for a block of
 * n rows; 0 with an exception set. `bits` are negative for a signed type.
 */
int hold_stored(Buffers *buffers, PyObject *object, Py_ssize_t n, Stored *to);

/* The numbers of some rows, ascending, all n where `rows` is NULL, and whether each has one; 0 where a code is beyond its
 * dictionary.
 */
int numbers_of(const Stored *from, const int32_t *rows, Py_ssize_t count, uint64_t *out, uint8_t *has);

#endif
