/* What alike.c and taking.c share. */
#ifndef MMIOTOOLS_ALIKE_H
#define MMIOTOOLS_ALIKE_H

#include "speed.h"

/* Accesses as columns. */
typedef struct {
    uint8_t *op;
    int16_t *width;
    int32_t *region;
    uint64_t *offset, *value;
} Taken;

/* Gives rows that are alike one number, the first of them base; the first of each moves to the front of the columns, in order. How
 * many these are, at most MOST_ROWS; -1 where there is no memory.
 */
Py_ssize_t number_rows(const Taken *rows, Py_ssize_t count, int32_t base, int32_t *codes);

/* Room for so many rows of op, width, region, offset and value; 0 with an exception set. */
static inline int
hold_taken(Buffers *buffers, PyObject *const out[5], Py_ssize_t rows, Taken *to)
{
    return (to->op = hold(buffers, out[0], rows, 1, 1)) != NULL && (to->width = hold(buffers, out[1], rows, 2, 1)) != NULL &&
           (to->region = hold(buffers, out[2], rows, 4, 1)) != NULL &&
           (to->offset = hold(buffers, out[3], rows, 8, 1)) != NULL && (to->value = hold(buffers, out[4], rows, 8, 1)) != NULL;
}

#endif
