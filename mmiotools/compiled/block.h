/* A block of a native file (formats/native.md): its columns as they are stored, decompressed where they are asked for. */
#ifndef MMIOTOOLS_BLOCK_H
#define MMIOTOOLS_BLOCK_H

#include "stored.h"

/* The columns of numbers that are known: those of a line of text come first. */
enum { OF_KIND, OF_WIDTH, OF_TIME, OF_MAP, OF_PID, OF_ADDR, OF_VALUE, OF_PC, OF_OPCODE, PRINTED, OF_CPU = PRINTED, KNOWN };

typedef struct Block Block;

/* The block behind a capsule, and how many rows it has; NULL with an exception set. */
Block *block_of(PyObject *capsule, Py_ssize_t *n);

/* A column, and NULL where the block has none; 0 with an exception set. */
int block_column(Block *block, int which, const Stored **to);

/* The places of all rows among the distinct ones: 1 or 2 byte planes, or none where all are the first. */
typedef struct {
    int planes;
    const uint8_t *plane[2];
} Places;

static inline Py_ssize_t
place_of(const Places *places, Py_ssize_t row)
{
    return places->planes == 2   ? places->plane[0][row] | places->plane[1][row] << 8
           : places->planes == 1 ? places->plane[0][row]
                                 : 0;
}

/* The distinct rows of a block, of which columns may be shared: how many, and the places of its rows among them. 0 where it has
 * none.
 */
Py_ssize_t block_rows(const Block *block, Places *places);

/* Which of n rows have a number from low to high in a column, a byte each: 1, 0 where a code is beyond its dictionary, -1
 * without memory.
 */
int rows_between(const Stored *from, uint64_t low, uint64_t high, Py_ssize_t n, uint8_t *out);

/* The places of the bytes that are 1, all others being 0, as int32. */
void list_rows(const uint8_t *chosen, Py_ssize_t n, char *out);

/* The column that has this name; -1 with an exception set. */
int column_named(PyObject *name);

/* Whether the numbers of a known column are signed. */
int column_is_signed(int which);

#endif
