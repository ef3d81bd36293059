/* Counts of accesses by address, map and width. */
#ifndef MMIOTOOLS_TALLY_H
#define MMIOTOOLS_TALLY_H

#include "speed.h"

#include <stdlib.h>

/* Distinct entries that one tally may have. */
#define MOST_ENTRIES 65536

/* Bits of Entry.has. */
enum { HAS_ANY = 1, HAS_ADDR = 2, HAS_MAP = 4, HAS_WIDTH = 8 };

/* As trace/tally.py packs it. */
typedef struct {
    uint64_t addr;
    int64_t map;
    uint64_t counts[3]; /* by READ, WRITE, UNKNOWN */
    uint8_t width, has, spare[6];
} Entry;

typedef struct {
    Entry *entries; /* a hash table of 1 << bits, at most half full */
    Py_ssize_t count;
    uint64_t odd[3]; /* to hash with */
    int bits;
} Tally;

static inline int
tally_start(Tally *tally)
{
    *tally = (Tally){.bits = 11};
    salt(tally->odd);
    tally->entries = calloc((size_t)1 << tally->bits, sizeof *tally->entries);
    return tally->entries != NULL;
}

static inline int
tally_same(const Entry *entry, uint64_t addr, int64_t map, uint8_t width, uint8_t has)
{
    return entry->addr == addr && entry->map == map && entry->width == width && entry->has == has;
}

static inline Entry *
tally_find(Entry *entries, int bits, const uint64_t odd[3], uint64_t addr, int64_t map, uint8_t width, uint8_t has)
{
    uint64_t hash = mixed(mixed(mixed(addr, odd[0]) + (uint64_t)map, odd[1]) + width, odd[2]);
    size_t at = (size_t)(hash >> (64 - bits));
    while (entries[at].has && !tally_same(&entries[at], addr, map, width, has))
        at = (at + 1) & (((size_t)1 << bits) - 1);
    return &entries[at];
}

/* 0 where there is no memory. */
int tally_grow(Tally *tally);
/* The entries as bytes, the table freed; NULL with an exception set. */
PyObject *tally_finish(Tally *tally);

/* The entry of these, added if it is new; NULL where there is no memory for it. What is absent must be 0. The entries
 * move when the table grows: what was given before is none any more where `entries` changes.
 */
static inline Entry *
tally_entry(Tally *tally, uint64_t addr, int64_t map, uint8_t width, uint8_t has)
{
    Entry *entry = tally_find(tally->entries, tally->bits, tally->odd, addr, map, width, has);
    if (!entry->has) {
        if ((tally->count + 1) * 2 > (Py_ssize_t)1 << tally->bits) {
            if (!tally_grow(tally))
                return NULL;
            entry = tally_find(tally->entries, tally->bits, tally->odd, addr, map, width, has);
        }
        tally->count++;
        entry->addr = addr;
        entry->map = map;
        entry->width = width;
        entry->has = has;
    }
    return entry;
}

/* Counts one access; 0 where there is no memory for it. What is absent must be 0. */
static inline int
tally_count(Tally *tally, uint8_t kind, uint64_t addr, int64_t map, uint8_t width, uint8_t has)
{
    Entry *entry = tally_entry(tally, addr, map, width, has);
    if (!entry)
        return 0;
    entry->counts[kind]++;
    return 1;
}

#endif
