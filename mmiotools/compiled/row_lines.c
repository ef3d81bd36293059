/* Lines of the rows of a block that share what they say beside their times: that is spelled once for each distinct row. */
#include "row_lines.h"
#include "text.h"

#include <stdlib.h>

/* So few lines are printed as they are. */
#define FEW 4
/* Bytes of what a line begins with, and of what is behind its time: 21 + 19 + 19 + 19 + 21 and the end. */
enum { BEGIN = 8, END = 104 };

typedef struct {
    uint8_t begin[BEGIN], end[END];
    uint8_t begins, ends;
} Spelled;

struct RowLines {
    const Stored *const *columns;
    const int32_t *rows;
    Places places;
    Py_ssize_t used;
    int32_t *spelled_at; /* for each distinct row; -1 where it is not spelled yet */
    uint64_t *times;
    Spelled *spelled;
    Seconds seconds;
};

/* Whether the columns of all lines are shared or the same everywhere, and all these rows have a number in each. */
static int
is_shared(const Stored *const columns[PRINTED], const int32_t *rows, Py_ssize_t count)
{
    static const int of_all[] = {OF_KIND, OF_WIDTH, OF_MAP, OF_PID, OF_ADDR, OF_VALUE, OF_PC};
    const uint8_t *known = NULL;
    for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++) {
        const Stored *from = columns[of_all[i]];
        if (!from || (from->planes >= 0 && !from->distinct))
            return 0;
        if (!from->bitmap || from->bitmap == known)
            continue;
        known = from->bitmap;
        for (Py_ssize_t row = 0; row < count; row++)
            if (!has_row(known, rows[row]))
                return 0;
    }
    return 1;
}

RowLines *
row_lines(const Block *block, const Stored *const columns[PRINTED], const int32_t *rows, Py_ssize_t count)
{
    RowLines *lines = count > FEW ? malloc(sizeof *lines) : NULL;
    if (!lines)
        return NULL;
    *lines = (RowLines){.columns = columns, .rows = rows, .seconds.number = UINT64_MAX};
    const Py_ssize_t distinct = block_rows(block, &lines->places), most = distinct < count ? distinct : count;
    int fit = distinct > 0 && columns[OF_TIME] && is_shared(columns, rows, count);
    if (fit) {
        lines->spelled_at = malloc((size_t)distinct * sizeof *lines->spelled_at);
        lines->times = malloc((size_t)count * (sizeof *lines->times + 1));
        lines->spelled = malloc((size_t)most * sizeof *lines->spelled);
        fit = lines->spelled_at && lines->times && lines->spelled;
    }
    if (fit) {
        uint8_t *has = (uint8_t *)(lines->times + count);
        memset(lines->spelled_at, 255, (size_t)distinct * sizeof *lines->spelled_at);
        fit = numbers_of(columns[OF_TIME], rows, count, lines->times, has) && !memchr(has, 0, (size_t)count);
    }
    if (!fit) {
        end_row_lines(lines);
        return NULL;
    }
    return lines;
}

void
end_row_lines(RowLines *lines)
{
    if (lines) {
        free(lines->spelled_at);
        free(lines->times);
        free(lines->spelled);
    }
    free(lines);
}

/* Spells what the lines of a distinct row have in common; 0 where they are not those of a read or a write. */
static int
spell(RowLines *lines, Py_ssize_t place)
{
    uint64_t number[PRINTED];
    for (int i = 0; i < PRINTED; i++)
        number[i] = i == OF_TIME || i == OF_OPCODE ? 0 : number_of_row(lines->columns[i], (uint64_t)place);
    if (number[OF_KIND] >= UNKNOWN || (int64_t)number[OF_MAP] < 0 || (int64_t)number[OF_PID] < 0)
        return 0;
    Spelled *to = &lines->spelled[lines->used];
    to->begins = (uint8_t)(put_begin(to->begin, number[OF_KIND], (uint8_t)number[OF_WIDTH]) - to->begin);
    to->ends = (uint8_t)(put_end(to->end, (int64_t)number[OF_MAP], number[OF_ADDR], number[OF_VALUE], number[OF_PC],
                                 (int64_t)number[OF_PID]) -
                         to->end);
    lines->spelled_at[place] = (int32_t)lines->used++;
    return 1;
}

uint8_t *
put_row_lines(uint8_t *out, const uint8_t *end, RowLines *lines, Py_ssize_t low, Py_ssize_t high, int *fit)
{
    for (Py_ssize_t i = low; i < high; i++) {
        const Py_ssize_t place = place_of(&lines->places, lines->rows[i]);
        const int64_t time = (int64_t)lines->times[i];
        if (time < 0 || (lines->spelled_at[place] < 0 && !spell(lines, place))) {
            *fit = 0;
            return NULL;
        }
        if (end - out < LINE_MOST)
            return NULL;
        const Spelled *from = &lines->spelled[lines->spelled_at[place]];
        memcpy(out, from->begin, BEGIN);
        out = put_time(out + from->begins, time, &lines->seconds);
        memcpy(out, from->end, 48);
        if (from->ends > 48)
            memcpy(out + 48, from->end + 48, END - 48);
        out += from->ends;
    }
    return out;
}
