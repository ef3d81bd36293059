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

/* Two digits each: of the numbers below 100, and of bytes. */
extern uint8_t decimal_pairs[200], hexadecimal_pairs[512];

/* How many of a number's bits count; at least 1. */
static inline int
bits_of(uint64_t number)
{
#if defined(__GNUC__)
    return 64 - __builtin_clzll(number | 1);
#else
    int bits = 1;
    while (number >>= 1)
        bits++;
    return bits;
#endif
}

/* Numbers as text: what follows it. */
static inline uint8_t *
put_decimal(uint8_t *out, uint64_t number)
{
    uint8_t digits[20];
    int at = 20;
    for (; number >= 100; number /= 100)
        memcpy(digits + (at -= 2), decimal_pairs + 2 * (number % 100), 2);
    if (number >= 10)
        memcpy(digits + (at -= 2), decimal_pairs + 2 * number, 2);
    else
        digits[--at] = (uint8_t)('0' + number);
    while (at < 20)
        *out++ = digits[at++];
    return out;
}

static inline uint8_t *
put_hexadecimal(uint8_t *out, uint64_t number)
{
    int digits = (bits_of(number) + 3) / 4;
    *out++ = '0';
    *out++ = 'x';
    if (digits & 1)
        *out++ = hexadecimal_pairs[2 * (number >> 4 * (digits - 1)) + 1];
    for (int shift = 4 * (digits & ~1) - 8; shift >= 0; shift -= 8, out += 2)
        memcpy(out, hexadecimal_pairs + 2 * (number >> shift & 255), 2);
    return out;
}

/* The text of the last seconds: those of the next line are mostly the same. At first `number` is UINT64_MAX. */
typedef struct {
    uint64_t number;
    uint8_t text[24];
    int size;
} Seconds;

/* The parts of a line: kind and width of a read or a write, a time in nanoseconds, what is behind it, and the last two of that. */
static inline uint8_t *
put_begin(uint8_t *out, uint64_t kind, uint8_t width)
{
    *out++ = kind == WRITE ? 'W' : 'R';
    *out++ = ' ';
    out = put_decimal(out, width);
    *out++ = ' ';
    return out;
}

static inline uint8_t *
put_time(uint8_t *out, int64_t time, Seconds *last)
{
    const uint64_t micro = (uint64_t)time / 1000;
    uint32_t fraction = (uint32_t)(micro % 1000000);
    if (micro / 1000000 != last->number) {
        last->number = micro / 1000000;
        last->size = (int)(put_decimal(last->text, last->number) - last->text);
    }
    memcpy(out, last->text, sizeof last->text);
    out += last->size;
    *out++ = '.';
    for (int place = 4; place >= 0; place -= 2, fraction /= 100)
        memcpy(out + place, decimal_pairs + 2 * (fraction % 100), 2);
    return out + 6;
}

static inline uint8_t *
put_last(uint8_t *out, uint64_t pc, int64_t pid)
{
    *out++ = ' ';
    out = put_hexadecimal(out, pc);
    *out++ = ' ';
    out = put_decimal(out, (uint64_t)pid);
    *out++ = '\n';
    return out;
}

static inline uint8_t *
put_end(uint8_t *out, int64_t map, uint64_t addr, uint64_t value, uint64_t pc, int64_t pid)
{
    *out++ = ' ';
    out = put_decimal(out, (uint64_t)map);
    *out++ = ' ';
    out = put_hexadecimal(out, addr);
    *out++ = ' ';
    return put_last(put_hexadecimal(out, value), pc, pid);
}

/* Prints rows low..high-1 behind each other: what follows the last one; NULL where a line may not fit in front of `end`. */
uint8_t *put_lines(uint8_t *out, const uint8_t *end, const Columns *from, Py_ssize_t low, Py_ssize_t high);

#endif
