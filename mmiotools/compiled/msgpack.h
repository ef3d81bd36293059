/* The few kinds of MessagePack objects that a block is made of. What is cut, or of another kind, is not taken. */
#ifndef MMIOTOOLS_MSGPACK_H
#define MMIOTOOLS_MSGPACK_H

#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *start;
    size_t length;
} Span;

/* What is left to read: from start on. */
typedef Span Cursor;

/* A negative number is in two's complement. */
typedef struct {
    uint64_t number;
    int negative;
} Number;

static inline int
take_byte(Cursor *from, uint8_t *to)
{
    if (!from->length)
        return 0;
    *to = *from->start++;
    from->length--;
    return 1;
}

static inline int
take_bytes(Cursor *from, uint64_t length, Span *to)
{
    if (length > from->length)
        return 0;
    *to = (Span){from->start, (size_t)length};
    from->start += length;
    from->length -= (size_t)length;
    return 1;
}

/* A number of `size` bytes, the highest first. */
static inline int
take_big_endian(Cursor *from, int size, uint64_t *to)
{
    Span bytes;
    if (!take_bytes(from, (uint64_t)size, &bytes))
        return 0;
    *to = 0;
    for (int i = 0; i < size; i++)
        *to = *to << 8 | bytes.start[i];
    return 1;
}

/* Lists (0x90, 0xdc, 0xdd) and maps (0x80, 0xde, 0xdf): how many items follow. */
static inline int
take_items(Cursor *from, uint8_t small, uint8_t wide, uint64_t *items)
{
    uint8_t mark;
    if (!take_byte(from, &mark))
        return 0;
    if ((mark & 0xf0) == small) {
        *items = mark & 0x0f;
        return 1;
    }
    return (mark == wide && take_big_endian(from, 2, items)) || (mark == wide + 1 && take_big_endian(from, 4, items));
}

static inline int
take_list(Cursor *from, uint64_t *items)
{
    return take_items(from, 0x90, 0xdc, items);
}

static inline int
take_map(Cursor *from, uint64_t *pairs)
{
    return take_items(from, 0x80, 0xde, pairs);
}

static inline int
is_list(const Cursor *from)
{
    return from->length && ((*from->start & 0xf0) == 0x90 || *from->start == 0xdc || *from->start == 0xdd);
}

static inline int
take_binary(Cursor *from, Span *to)
{
    uint8_t mark;
    uint64_t length;
    return take_byte(from, &mark) && mark >= 0xc4 && mark <= 0xc6 && take_big_endian(from, 1 << (mark - 0xc4), &length) &&
           take_bytes(from, length, to);
}

/* A name: letters of ASCII, digits and the like. */
static inline int
take_name(Cursor *from, Span *to)
{
    uint8_t mark;
    uint64_t length;
    if (!take_byte(from, &mark))
        return 0;
    if ((mark & 0xe0) == 0xa0)
        length = mark & 0x1f;
    else if (mark != 0xd9 || !take_big_endian(from, 1, &length))
        return 0;
    if (!take_bytes(from, length, to))
        return 0;
    for (size_t i = 0; i < to->length; i++)
        if (to->start[i] < ' ' || to->start[i] > '~')
            return 0;
    return 1;
}

static inline int
take_nil(Cursor *from)
{
    if (!from->length || *from->start != 0xc0)
        return 0;
    from->start++;
    from->length--;
    return 1;
}

static inline int
take_number(Cursor *from, Number *to)
{
    uint8_t mark;
    if (!take_byte(from, &mark))
        return 0;
    *to = (Number){mark, 0};
    if (mark < 0x80)
        return 1;
    if (mark >= 0xe0) {
        *to = (Number){(uint64_t)(int64_t)(int8_t)mark, 1};
        return 1;
    }
    if (mark < 0xcc || mark > 0xd3)
        return 0;
    int size = 1 << ((mark - 0xcc) & 3);
    if (!take_big_endian(from, size, &to->number))
        return 0;
    if (mark >= 0xd0) {
        int unused = 64 - 8 * size;
        to->number = (uint64_t)((int64_t)(to->number << unused) >> unused);
        to->negative = (int64_t)to->number < 0;
    }
    return 1;
}

/* A number from 0 to `most`. */
static inline int
take_count(Cursor *from, uint64_t most, uint64_t *to)
{
    Number number;
    if (!take_number(from, &number) || number.negative || number.number > most)
        return 0;
    *to = number.number;
    return 1;
}

static inline int
is_called(Span name, const char *text)
{
    return name.length == strlen(text) && !memcmp(name.start, text, name.length);
}

#endif
