/* Counts of the accesses of native blocks, from their byte planes: no column is made. */
#include "block.h"
#include "tally.h"

/* Of Rare.has alone. */
#define HAS_TIME 16
#define CAPSULE "mmiotools.tally"

/* A row that is no access, as formats/native_tally.py unpacks it. */
typedef struct {
    int64_t row, time, map;
    uint64_t addr;
    uint8_t kind, width, has, spare[5];
} Rare;

/* -- a tally over many blocks --------------------------------------------------------------------------------- */

/* The columns that are counted, those of the rows that are no accesses, and their marks. */
enum { ADDR, MAP, WIDTH, COUNTED, TIME = COUNTED, COLUMNS };
static const uint8_t MARKS[COLUMNS] = {HAS_ADDR, HAS_MAP, HAS_WIDTH, HAS_TIME};
/* Kinds of accesses at a place of a dictionary, and one for all others; places that are counted at once. */
#define KINDS 4
#define MOST_PLACES MOST_ROWS
/* Combinations of map and width of which a block has few. */
#define MOST_COMBINED 32

typedef struct {
    Tally tally;
    /* Room for a block: kinds, and the rows that are no accesses. */
    uint8_t kind[MOST_ROWS];
    int32_t rare[MOST_ROWS];
    /* Numbers of each column, and whether a row has one. */
    uint64_t numbers[COLUMNS][MOST_ROWS];
    uint8_t has[COLUMNS][MOST_ROWS];
    /* Codes of addresses, maps and widths; counts by code, kind and combination. */
    uint16_t place[MOST_ROWS];
    uint8_t map[MOST_ROWS], width[MOST_ROWS];
    uint32_t counts[MOST_PLACES * KINDS];
    uint8_t combination[1 << 16];
} Running;

static void
forget(PyObject *capsule)
{
    Running *running = PyCapsule_GetPointer(capsule, CAPSULE);
    if (running)
        free(running->tally.entries);
    free(running);
}

/* new_tally() -> a tally, for tally_block and take_entries */
static PyObject *
new_tally(PyObject *self, PyObject *nothing)
{
    (void)self;
    (void)nothing;
    Running *running = malloc(sizeof *running);
    if (!running || !tally_start(&running->tally)) {
        free(running);
        return PyErr_NoMemory();
    }
    /* The rest is written before it is read; most of it never is. */
    memset(running->counts, 0, sizeof running->counts);
    memset(running->combination, 0, sizeof running->combination);
    PyObject *capsule = PyCapsule_New(running, CAPSULE, forget);
    if (!capsule) {
        free(running->tally.entries);
        free(running);
    }
    return capsule;
}

/* take_entries(tally) -> ((reads, writes, unknown accesses), their entries as bytes); it is empty then */
static PyObject *
take_entries(PyObject *self, PyObject *capsule)
{
    (void)self;
    Running *running = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!running)
        return NULL;
    Tally fresh;
    if (!tally_start(&fresh))
        return PyErr_NoMemory();
    Tally full = running->tally;
    running->tally = fresh;
    uint64_t sums[3] = {0};
    for (size_t i = 0; i < (size_t)1 << full.bits; i++)
        for (int kind = 0; kind < 3; kind++)
            sums[kind] += full.entries[i].counts[kind];
    PyObject *entries = tally_finish(&full);
    return entries ? Py_BuildValue("(KKK)N", (unsigned long long)sums[0], (unsigned long long)sums[1],
                                   (unsigned long long)sums[2], entries)
                   : NULL;
}

/* -- kinds and times -------------------------------------------------------------------------------------------- */

/* Takes note of the rows that are no accesses; how many, or -1 where there is one that is not for us. */
static Py_ssize_t
find_rare(const uint8_t *kind, Py_ssize_t n, int32_t *rare)
{
    Py_ssize_t found = 0, i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8) {
            memcpy(&eight, kind + i, sizeof eight);
            /* A byte of 0 to 2 stays below 128 with 125 more, and needs no bit but the lowest two. */
            if (!(eight & 0xFCFCFCFCFCFCFCFCu) && !((eight + 0x7D7D7D7D7D7D7D7Du) & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        if (kind[i] > NOTE || kind[i] == LOST)
            return -1;
        if (kind[i] > UNKNOWN)
            rare[found++] = (int32_t)i;
        i++;
    }
    return found;
}

/* What the columns of a block say of its times. No row is -1. */
typedef struct {
    int64_t first, last, least, greatest;
    Py_ssize_t first_row, last_row;
} Times;

/* Whether times only ascend, all rows have one, and none is near the ends of what a time may be. */
static int
ascends(const Stored *time)
{
    int64_t sum = ESCAPE * (int64_t)MOST_ROWS, unit = (int64_t)time->unit, first = (int64_t)time->first;
    if (!time->steps || time->bitmap || unit < 1)
        return 0;
    for (Py_ssize_t i = 0; i < time->many; i++) {
        if (time->large[i] >> 40)
            return 0;
        sum += (int64_t)time->large[i];
    }
    int64_t most = INT64_MAX / unit - sum;
    return first <= most && first >= -most;
}

/* Reads the times of a block of n rows; 0 where they cannot be. */
static int
read_times(Running *running, const Stored *time, Py_ssize_t n, Times *to)
{
    uint64_t *numbers = running->numbers[TIME];
    uint8_t *has = running->has[TIME];
    if (ascends(time)) {
        const int32_t ends[] = {0, (int32_t)n - 1};
        numbers_of(time, ends + (n == 1), 2 - (n == 1), numbers, has);
        *to = (Times){.first_row = 0, .last_row = n - 1};
        to->first = to->least = (int64_t)numbers[0];
        to->last = to->greatest = (int64_t)numbers[n > 1];
        return 1;
    }
    if (!numbers_of(time, NULL, n, numbers, has))
        return 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t now = (int64_t)numbers[i];
        if (!has[i])
            continue;
        if (to->first_row < 0) {
            to->first_row = i;
            to->first = to->least = to->greatest = now;
        }
        to->last_row = i;
        to->last = now;
        to->least = now < to->least ? now : to->least;
        to->greatest = now > to->greatest ? now : to->greatest;
    }
    return 1;
}

/* -- counts ------------------------------------------------------------------------------------------------------- */

/* Counts the accesses of a block of n rows one by one: 1, 0 where a column says what cannot be, -1 without memory. */
static int
count_each(Running *running, const Stored *const *columns, Py_ssize_t n)
{
    for (int c = 0; c < COUNTED; c++) {
        memset(running->has[c], 0, (size_t)n);
        if (columns[c] && !numbers_of(columns[c], NULL, n, running->numbers[c], running->has[c]))
            return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t number[COUNTED];
        uint8_t has = HAS_ANY;
        if (running->kind[i] > UNKNOWN)
            continue;
        for (int c = 0; c < COUNTED; c++) {
            number[c] = running->has[c][i] ? running->numbers[c][i] : 0;
            has |= running->has[c][i] ? MARKS[c] : 0;
        }
        if (!tally_count(&running->tally, running->kind[i], number[ADDR], (int64_t)number[MAP], (uint8_t)number[WIDTH],
                         has))
            return -1;
    }
    return 1;
}

/* Whether each access has a number in a column: 1, 0 where none has, -1 where some have. */
static int
accesses_have(const Stored *column, Py_ssize_t n, const int32_t *rare, Py_ssize_t many_rare)
{
    if (!column)
        return 0;
    if (!column->bitmap)
        return 1;
    Py_ssize_t others = 0;
    for (Py_ssize_t i = 0; i < many_rare; i++)
        others += has_row(column->bitmap, rare[i]) != 0;
    return column->count - others == n - many_rare ? 1 : column->count == others ? 0 : -1;
}

/* The codes of a column of one plane, a constant being code 0, by row; 0 where one is beyond its dictionary. */
static int
place_codes(const Stored *column, Py_ssize_t n, uint8_t *to)
{
    memset(to, 0, (size_t)n);
    if (column->planes < 1)
        return column->planes < 0 || !column->words || column->known > 0;
    memcpy(to, column->plane[0], (size_t)column->count);
    for (Py_ssize_t i = 0; column->words && column->known < 256 && i < column->count; i++)
        if (to[i] >= column->known)
            return 0;
    spread(column, n, to, 1);
    return 1;
}

/* The same of one plane or two. */
static int
place_addresses(const Stored *column, Py_ssize_t n, uint16_t *to)
{
    const uint8_t *first = column->plane[0], *second = column->plane[column->planes - 1];
    uint16_t most = 0;
    for (Py_ssize_t i = 0; i < column->count; i++) {
        to[i] = column->planes == 1 ? first[i] : (uint16_t)(first[i] | second[i] << 8);
        most = to[i] > most ? to[i] : most;
    }
    spread(column, n, (uint8_t *)to, 2);
    return most < column->known;
}

/* What a code of a column stands for. */
static uint64_t
number_of(const Stored *column, uint8_t code)
{
    if (!column)
        return 0;
    return column->planes < 0 ? column->constant : meant(column, column->words ? column->words[code] : code);
}

/* Counts the accesses of a block of n rows by the codes of their addresses, apart for each combination of map and width:
 * 1, 0 where that cannot be done here, and nothing is counted, -1 without memory.
 */
static int
count_codes(Running *running, const Stored *const *columns, Py_ssize_t n, Py_ssize_t many_rare)
{
    const Stored *addr = columns[ADDR];
    uint8_t has = HAS_ANY, used = 0;
    uint16_t key_of[MOST_COMBINED];
    if (!addr || !addr->words || addr->distinct || addr->planes < 1 || addr->planes > 2 || addr->known > MOST_PLACES)
        return 0;
    for (int c = 0; c < COUNTED; c++) {
        int here = accesses_have(columns[c], n, running->rare, many_rare);
        if (here < 0 || (here && c != ADDR && (columns[c]->planes > 1 || columns[c]->distinct)))
            return 0;
        has |= here ? MARKS[c] : 0;
    }
    memset(running->map, 0, (size_t)n);
    memset(running->width, 0, (size_t)n);
    if (!(has & HAS_ADDR) || !place_addresses(addr, n, running->place) ||
        (has & HAS_MAP && !place_codes(columns[MAP], n, running->map)) ||
        (has & HAS_WIDTH && !place_codes(columns[WIDTH], n, running->width)))
        return 0;
    uint64_t most = MOST_PLACES / addr->known;
    most = most < MOST_COMBINED ? most : MOST_COMBINED;
    uint32_t base_of[MOST_COMBINED + 1];
    for (uint64_t c = 0; c < most; c++)
        base_of[c + 1] = (uint32_t)(c * addr->known);
    /* From here on it only counts that they are no accesses. */
    for (Py_ssize_t i = 0; i < many_rare; i++)
        running->kind[running->rare[i]] = KINDS - 1;
    const uint8_t *restrict kind = running->kind, *restrict map = running->map, *restrict width = running->width;
    const uint16_t *restrict place = running->place;
    uint32_t *restrict counts = running->counts;
    uint8_t *restrict combination = running->combination;
    Py_ssize_t i = 0;
    for (; i < n; i++) {
        uint16_t key = (uint16_t)(map[i] | width[i] << 8);
        if (!combination[key]) {
            if (used == most)
                break;
            key_of[used++] = key;
            combination[key] = used;
        }
        counts[(size_t)(base_of[combination[key]] + place[i]) * KINDS + kind[i]]++;
    }
    int good = i == n;
    for (uint8_t c = 0; c < used; c++) {
        uint32_t *each = counts + c * addr->known * KINDS;
        int64_t of_map = has & HAS_MAP ? (int64_t)number_of(columns[MAP], (uint8_t)key_of[c]) : 0;
        uint8_t of_width = has & HAS_WIDTH ? (uint8_t)number_of(columns[WIDTH], (uint8_t)(key_of[c] >> 8)) : 0;
        combination[key_of[c]] = 0;
        for (uint64_t code = 0; code < addr->known; code++, each += KINDS) {
            if (good > 0 && (each[0] | each[1] | each[2])) {
                Entry *entry = tally_entry(&running->tally, addr->words[code], of_map, of_width, has);
                for (int k = 0; entry && k < KINDS - 1; k++)
                    entry->counts[k] += each[k];
                good = entry ? 1 : -1;
            }
            memset(each, 0, KINDS * sizeof *each);
        }
    }
    return good;
}

/* The row planes of columns: what they say of a row is one number, where they are 8 at most. */
typedef struct {
    int count;
    const uint8_t *plane[8];
} Codes;

/* Adds those of a column; 0 where they are too many. */
static int
add_codes(Codes *codes, const Stored *from)
{
    for (int i = 0; from->planes >= 0 && i < from->row_planes; i++) {
        if (codes->count == 8)
            return 0;
        codes->plane[codes->count++] = from->row_plane[i];
    }
    return 1;
}

static inline uint64_t
codes_of(const Codes *codes, Py_ssize_t row)
{
    uint64_t all = 0;
    for (int i = 0; i < codes->count; i++)
        all = all << 8 | codes->plane[i][row];
    return all;
}

/* Counts the accesses of a block by its distinct rows, where all that is counted is shared or the same everywhere; else as
 * count_codes.
 */
static int
count_rows(Running *running, const Block *block, const Stored *kind, const Stored *const *columns, Py_ssize_t n,
           Py_ssize_t many_rare)
{
    Places places;
    uint8_t has = HAS_ANY;
    Codes codes = {0};
    const Py_ssize_t rows = block_rows(block, &places);
    const int planes = places.planes;
    if (!rows || (kind->planes >= 0 && !kind->distinct))
        return 0;
    int told_apart = add_codes(&codes, kind);
    for (int c = 0; c < COUNTED; c++) {
        int here = accesses_have(columns[c], n, running->rare, many_rare);
        if (here < 0 || (here && columns[c]->planes >= 0 && !columns[c]->distinct))
            return 0;
        has |= here ? MARKS[c] : 0;
        told_apart &= !here || add_codes(&codes, columns[c]);
    }
    /* Two counts of each: a row that comes again need not wait for the one before it. */
    uint32_t *restrict counts = running->counts;
    const uint8_t *restrict first = places.plane[0], *restrict second = places.plane[1];
    for (Py_ssize_t i = 0; planes == 2 && i < n; i++)
        counts[(size_t)(first[i] | second[i] << 8) * 2 + (i & 1)]++;
    for (Py_ssize_t i = 0; planes < 2 && i < n; i++)
        counts[(planes ? (size_t)first[i] : 0) * 2 + (i & 1)]++;
    int good = 1;
    uint64_t before = 0, of_kind = 0;
    Entry *entry = NULL;
    for (Py_ssize_t row = 0; row < rows; row++) {
        uint32_t *each = counts + row * 2;
        const uint64_t uses = (uint64_t)each[0] + each[1], now = codes_of(&codes, row);
        memset(each, 0, 2 * sizeof *each);
        if (!uses || good < 1)
            continue;
        /* Rows that differ in their values alone lie side by side. */
        if (!entry || now != before || !told_apart) {
            uint64_t number[COUNTED] = {0};
            const uint64_t other = number_of_row(kind, (uint64_t)row);
            if (other > UNKNOWN)
                continue;
            of_kind = other;
            for (int c = 0; c < COUNTED; c++)
                if (has & MARKS[c])
                    number[c] = number_of_row(columns[c], (uint64_t)row);
            entry = tally_entry(&running->tally, number[ADDR], (int64_t)number[MAP], (uint8_t)number[WIDTH], has);
        }
        before = now;
        if (entry)
            entry->counts[of_kind] += uses;
        good = entry ? 1 : -1;
    }
    return good;
}

/* The rows that are no accesses, as bytes; NULL with an exception set. */
static PyObject *
tell_rare(Running *running, const Stored *const *columns, Py_ssize_t many)
{
    for (int c = 0; c < COLUMNS; c++) {
        memset(running->has[c], 0, (size_t)many);
        if (columns[c] && many && !numbers_of(columns[c], running->rare, many, running->numbers[c], running->has[c])) {
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
            return NULL;
        }
    }
    PyObject *found = PyBytes_FromStringAndSize(NULL, many * (Py_ssize_t)sizeof(Rare));
    char *to = found ? PyBytes_AsString(found) : NULL;
    for (Py_ssize_t i = 0; to && i < many; i++) {
        uint64_t number[COLUMNS];
        Rare one = {.row = running->rare[i], .kind = running->kind[running->rare[i]], .has = HAS_ANY};
        for (int c = 0; c < COLUMNS; c++) {
            number[c] = running->has[c][i] ? running->numbers[c][i] : 0;
            one.has |= running->has[c][i] ? MARKS[c] : 0;
        }
        one.addr = number[ADDR];
        one.map = (int64_t)number[MAP];
        one.width = (uint8_t)number[WIDTH];
        one.time = (int64_t)number[TIME];
        memcpy(to + i * (Py_ssize_t)sizeof one, &one, sizeof one);
    }
    return found;
}

/* The kinds of a block of n rows, and which are no accesses: how many, -1 where this is not for us. */
static Py_ssize_t
read_kinds(Running *running, const Stored *kind, Py_ssize_t n)
{
    if (!kind || kind->bitmap || (!kind->distinct && (kind->words || kind->planes > 1)))
        return -1;
    if (kind->distinct) {
        /* Only the kinds of these are needed, as it goes. */
        if (rows_between(kind, UNKNOWN + 1, UINT64_MAX, n, running->kind) <= 0)
            return -1;
        Py_ssize_t found = (Py_ssize_t)sum_of_bytes(running->kind, n);
        list_rows(running->kind, n, (char *)running->rare);
        numbers_of(kind, running->rare, found, running->numbers[0], running->has[0]);
        for (Py_ssize_t i = 0; i < found; i++) {
            if (running->numbers[0][i] > NOTE || running->numbers[0][i] == LOST)
                return -1;
            running->kind[running->rare[i]] = (uint8_t)running->numbers[0][i];
        }
        return found;
    }
    if (kind->planes == 1)
        memcpy(running->kind, kind->plane[0], (size_t)n);
    else
        memset(running->kind, kind->planes ? (int)(kind->constant & 255) : 0, sizeof running->kind);
    return find_rare(running->kind, n, running->rare);
}

/* tally_block(tally, block) -> (times or None, rare, entries so far), or None
 *
 * Counts the accesses of a block. `times` are first and last time, their rows, least and greatest. `rare` has the rows that
 * are no accesses. None, and nothing is counted, where the block says what cannot be, or has rows whose times do not count.
 * Raises ValueError as read_block does.
 */
static PyObject *
tally_block(PyObject *self, PyObject *args)
{
    static const int wanted[COLUMNS] = {[ADDR] = OF_ADDR, [MAP] = OF_MAP, [WIDTH] = OF_WIDTH, [TIME] = OF_TIME};
    PyObject *capsule, *of_block;
    Py_ssize_t n;
    const Stored *kind, *columns[COLUMNS];
    Times times = {.first_row = -1, .last_row = -1};
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &capsule, &of_block))
        return NULL;
    Running *running = PyCapsule_GetPointer(capsule, CAPSULE);
    Block *block = running ? block_of(of_block, &n) : NULL;
    if (!block || !block_column(block, OF_KIND, &kind))
        return NULL;
    for (int c = 0; c < COLUMNS; c++)
        if (!block_column(block, wanted[c], &columns[c]))
            return NULL;
    Py_ssize_t rare = read_kinds(running, kind, n);
    if (rare < 0 || (columns[TIME] && !read_times(running, columns[TIME], n, &times)))
        return Py_NewRef(Py_None);
    /* Before anything is counted: it may find that something cannot be. */
    PyObject *of_rare = tell_rare(running, columns, rare), *of_times = NULL, *answer = NULL;
    int good = of_rare ? count_rows(running, block, kind, columns, n, rare) : -2;
    if (!good && kind->distinct) {
        numbers_of(kind, NULL, n, running->numbers[0], running->has[0]);
        for (Py_ssize_t i = 0; i < n; i++)
            running->kind[i] = (uint8_t)running->numbers[0][i];
    }
    if (!good)
        good = count_codes(running, columns, n, rare);
    if (!good)
        good = count_each(running, columns, n);
    if (good == -1)
        PyErr_NoMemory();
    if (!good)
        answer = Py_NewRef(Py_None);
    if (good > 0)
        of_times = times.first_row < 0
                       ? Py_NewRef(Py_None)
                       : Py_BuildValue("LLnnLL", (long long)times.first, (long long)times.last, times.first_row,
                                       times.last_row, (long long)times.least, (long long)times.greatest);
    if (of_times)
        answer = Py_BuildValue("OOn", of_times, of_rare, running->tally.count);
    Py_XDECREF(of_times);
    Py_XDECREF(of_rare);
    return answer;
}

/* sums(words): each 64-bit number becomes the sum of all up to it, modulo 2^64 */
static PyObject *
sums(PyObject *self, PyObject *object)
{
    (void)self;
    Buffers buffers = {.held = 0};
    uint64_t *words = hold(&buffers, object, 0, 8, 1);
    if (!words)
        return NULL;
    for (Py_ssize_t i = 1; i < buffers.views[0].len / 8; i++)
        words[i] += words[i - 1];
    let_go(&buffers);
    return Py_NewRef(Py_None);
}

PyMethodDef block_tally_functions[] = {
    {"new_tally", new_tally, METH_NOARGS, "Counts over many blocks."},
    {"take_entries", take_entries, METH_O, "What was counted."},
    {"tally_block", tally_block, METH_VARARGS, "Counts of the accesses of a native block."},
    {"sums", sums, METH_O, "Running sums, in place."},
    {NULL, NULL, 0, NULL},
};
