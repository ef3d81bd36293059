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

/* The column that has this name; -1 with an exception set. */
int column_named(PyObject *name);

/* Whether the numbers of a known column are signed. */
int column_is_signed(int which);

#endif
