/* A block of a native file (formats/native.md): its columns as they are stored, decompressed where they are asked for. */
#ifndef MMIOTOOLS_BLOCK_H
#define MMIOTOOLS_BLOCK_H

#include "speed.h"

/* No block has more rows. */
#define MOST_ROWS 65536
#define ESCAPE 255
/* The kind of an event whose time is not its own; and the last kind. */
enum { LOST = 6, NOTE = 10 };
/* The columns of numbers that are known: those of a line of text come first. */
enum { OF_KIND, OF_WIDTH, OF_TIME, OF_MAP, OF_PID, OF_ADDR, OF_VALUE, OF_PC, OF_OPCODE, PRINTED, OF_CPU = PRINTED, KNOWN };

/* A column: a constant (planes -1), or byte planes of `count` numbers: codes of `words` where it has those, or steps of
 * time, of which each that is ESCAPE stands for the next of `large`. Row i has a number where bit i of `bitmap` is set;
 * without a bitmap all rows have.
 */
typedef struct {
    int zigzag, planes, steps;
    const uint8_t *plane[8], *bitmap;
    const uint64_t *words, *large;
    uint64_t known, constant, mask, sign, first, unit;
    Py_ssize_t count, many;
} Stored;

typedef struct Block Block;

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

/* What a number of the planes or the dictionary stands for. */
static inline uint64_t
meant(const Stored *from, uint64_t number)
{
    return within_type(from, from->zigzag ? number >> 1 ^ (0 - (number & 1)) : number);
}

/* The numbers of some rows, ascending, all n where `rows` is NULL, and whether each has one; 0 where a code is beyond its
 * dictionary.
 */
int numbers_of(const Stored *from, const int32_t *rows, Py_ssize_t count, uint64_t *out, uint8_t *has);

/* Items of `size` bytes, one for each number that a column holds, moved to the rows of n that have one; 0 elsewhere. */
void spread(const Stored *from, Py_ssize_t n, uint8_t *items, int size);

/* How many of the rows from..to-1 have a number. */
Py_ssize_t rows_before(const uint8_t *bitmap, Py_ssize_t from, Py_ssize_t to);

/* The block behind a capsule, and how many rows it has; NULL with an exception set. */
Block *block_of(PyObject *capsule, Py_ssize_t *n);

/* A column, and NULL where the block has none; 0 with an exception set. */
int block_column(Block *block, int which, const Stored **to);

/* The column that has this name; -1 with an exception set. */
int column_named(PyObject *name);

#endif
