/* Lines of the rows of a block that share what they say beside their times. */
#ifndef MMIOTOOLS_ROW_LINES_H
#define MMIOTOOLS_ROW_LINES_H

#include "block.h"

/* What is needed to print rows of a block by its distinct ones. */
typedef struct RowLines RowLines;

/* For `count` rows, ascending, of a block, of which these are the columns: NULL where it has to be done column by column, or where
 * there is no memory. It is to be ended.
 */
RowLines *row_lines(const Block *block, const Stored *const columns[PRINTED], const int32_t *rows, Py_ssize_t count);
void end_row_lines(RowLines *lines);

/* Prints those of the rows that are number low..high-1: what follows the last one; NULL where a line may not fit in front of `end`, or,
 * with `fit` 0, where a row has to be printed otherwise.
 */
uint8_t *put_row_lines(uint8_t *out, const uint8_t *end, RowLines *lines, Py_ssize_t low, Py_ssize_t high, int *fit);

#endif
