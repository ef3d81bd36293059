/* Ranking what is distinct. */
#include "ranking.h"

#include <stdlib.h>

void
table_end(Table *table)
{
    free(table->slots);
    free(table->memory);
}

int
table_start(Table *table, Py_ssize_t n)
{
    size_t rows = n ? (size_t)n : 1;
    *table = (Table){.bits = 10, .odd = salted(0x9E3779B97F4A7C15u)};
    table->slots = calloc((size_t)1 << table->bits, sizeof *table->slots);
    table->memory = malloc(rows * (2 * sizeof(Slot) + sizeof(uint32_t) + 2 * sizeof(uint16_t)));
    if (!table->slots || !table->memory) {
        table_end(table);
        return 0;
    }
    table->sorted = table->memory;
    table->other = table->sorted + rows;
    table->uses = (uint32_t *)(table->other + rows);
    table->of_row = (uint16_t *)(table->uses + rows);
    table->places = table->of_row + rows;
    return 1;
}

void
sort_all(Table *table, Py_ssize_t count)
{
    uint64_t differing = 0;
    for (Py_ssize_t i = 1; i < count; i++)
        differing |= table->sorted[i].value ^ table->sorted[0].value;
    for (int shift = 0; shift < 64; shift += 8) {
        if (!(differing >> shift & 255))
            continue;
        uint32_t starts[256] = {0}, at = 0;
        for (Py_ssize_t i = 0; i < count; i++)
            starts[table->sorted[i].value >> shift & 255]++;
        for (int byte = 0; byte < 256; byte++) {
            uint32_t here = starts[byte];
            starts[byte] = at;
            at += here;
        }
        for (Py_ssize_t i = 0; i < count; i++)
            table->other[starts[table->sorted[i].value >> shift & 255]++] = table->sorted[i];
        Slot *sorted = table->other;
        table->other = table->sorted;
        table->sorted = sorted;
    }
}

/* Of the first `count` of `sorted`, where that is more than OFTEN, those that most rows have come first, as many as that. Either
 * part stays as it is sorted.
 */
static void
often_first(Table *table, Py_ssize_t n, Py_ssize_t count)
{
    if (count <= OFTEN)
        return;
    memset(table->uses, 0, (size_t)count * sizeof *table->uses);
    for (Py_ssize_t i = 0; i < n; i++)
        table->uses[table->of_row[i]]++;
    /* The least number of uses than which at most OFTEN have more; of those with just that the first ones fill up. */
    uint32_t low = 0, high = (uint32_t)n;
    Py_ssize_t more = 0, at = 0, rest = OFTEN;
    while (low <= high) {
        uint32_t middle = low + (high - low) / 2;
        Py_ssize_t above = 0;
        for (Py_ssize_t i = 0; i < count; i++)
            above += table->uses[i] > middle;
        if (above > OFTEN)
            low = middle + 1;
        else {
            more = above;
            if (!middle)
                break;
            high = middle - 1;
        }
    }
    for (Py_ssize_t place = 0; place < count; place++) {
        uint32_t uses = table->uses[table->sorted[place].number - 1];
        int is_often = uses > low || (uses == low && more++ < OFTEN);
        table->other[is_often ? at++ : rest++] = table->sorted[place];
    }
    Slot *sorted = table->other;
    table->other = table->sorted;
    table->sorted = sorted;
}

void
rank_all(Table *table, Py_ssize_t n, Py_ssize_t count, uint8_t *out)
{
    often_first(table, n, count);
    for (Py_ssize_t place = 0; place < count; place++)
        table->places[table->sorted[place].number - 1] = (uint16_t)place;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint16_t place = table->places[table->of_row[i]];
        out[i] = (uint8_t)place;
        out[n + i] = (uint8_t)(place >> 8);
    }
}
