/* Lines of mmiotrace text. */
#ifndef MMIOTOOLS_TEXT_H
#define MMIOTOOLS_TEXT_H

#include "speed.h"

/* Longest line that `print_rows` makes, with its end: 8 + 4 + 21 + 21 + 19 + 19 + 19 + 21 and some. */
#define LINE_MOST 160

/* Accesses as columns. */
typedef struct {
    uint8_t *kind, *width, *crlf;
    int64_t *time, *map, *pid, *start, *end;
    uint64_t *addr, *value, *pc, *opcode;
} Columns;

/* Prints rows low..high-1 behind each other, LINE_MOST bytes each at most: what follows the last one. */
uint8_t *put_lines(uint8_t *out, const Columns *from, Py_ssize_t low, Py_ssize_t high);

#endif
