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

/* Numbers as text: what follows it. */
static inline uint8_t *
put_decimal(uint8_t *out, uint64_t number)
{
    uint8_t digits[20];
    int count = 0;
    do
        digits[count++] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

static inline uint8_t *
put_hexadecimal(uint8_t *out, uint64_t number)
{
    int digits = 1;
    while (digits < 16 && number >> 4 * digits)
        digits++;
    *out++ = '0';
    *out++ = 'x';
    while (digits--)
        *out++ = (uint8_t)"0123456789abcdef"[number >> 4 * digits & 15];
    return out;
}

/* Prints rows low..high-1 behind each other, LINE_MOST bytes each at most: what follows the last one. */
uint8_t *put_lines(uint8_t *out, const Columns *from, Py_ssize_t low, Py_ssize_t high);

#endif
