/* What is distinct in the rows of a block, numbered as it is met and then ranked: sorted, and those used often first. */
#ifndef MMIOTOOLS_RANKING_H
#define MMIOTOOLS_RANKING_H

#include "speed.h"

/* As many numbers of a dictionary come first as are told apart by the first plane of their places. */
#define OFTEN 256

/* A number, and which it is: from 1 in the order in which they were met, 0 for a slot that is free. */
typedef struct {
    uint64_t value;
    uint32_t number, spare;
} Slot;

/* Memory to number what is distinct: a hash table of 1 << bits slots, at most a quarter full; which number each row has; how many rows
 * have a number; and room to sort as many as there are rows.
 */
typedef struct {
    Slot *slots, *sorted, *other, *memory;
    uint32_t *uses;
    uint16_t *of_row, *places;
    uint64_t odd;
    int bits;
} Table;

/* What a count is where there are more than are wanted, and where there is no memory. */
enum { TOO_MANY = -1, NO_MEMORY = -2 };

/* 0 where there is no memory; else it is to be ended. */
int table_start(Table *table, Py_ssize_t n);
void table_end(Table *table);

/* Sorts the first `count` of `sorted` by value: byte by byte from the lowest on, those left out that are all the same. What is
 * alike stays in order.
 */
void sort_all(Table *table, Py_ssize_t count);

/* Of the first `count` of `sorted`, where that is more than OFTEN, those that most of n rows have come first, as many as that.
 * Either part stays as it is sorted. Then `places` has the place of each number, less 1, and `out` those of all rows, as two
 * planes of n bytes.
 */
void rank_all(Table *table, Py_ssize_t n, Py_ssize_t count, uint8_t *out);

#endif
