/* Counts of the accesses of native blocks, from their byte planes: no column is made. */
#include "stored.h"
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

enum { KIND, ADDR, MAP, WIDTH, TIME, COLUMNS };
/* Kinds of accesses at a place of a dictionary, and one spare; places that are counted at once. */
#define KINDS 4
#define MOST_PLACES MOST_ROWS
/* Combinations of map, width and presence of which a block has few. */
#define MOST_COMBINED 8

typedef struct {
    Tally tally;
    /* Room for a block: numbers of each column, kinds, which columns a row has, rows that are no accesses. */
    uint64_t numbers[COLUMNS][MOST_ROWS];
    uint8_t kind[MOST_ROWS], has[MOST_ROWS];
    uint32_t rare[MOST_ROWS];
    uint32_t counts[MOST_PLACES * KINDS];
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
    Running *running = calloc(1, sizeof *running);
    if (!running || !tally_start(&running->tally)) {
        free(running);
        return PyErr_NoMemory();
    }
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

/* -- columns -------------------------------------------------------------------------------------------------- */

/* One plane more of numbers, or the first. */
static void
add_plane(const uint8_t *restrict plane, Py_ssize_t held, Py_ssize_t place, uint64_t *restrict to)
{
    if (!place)
        for (Py_ssize_t i = 0; i < held; i++)
            to[i] = plane[i];
    else
        for (Py_ssize_t i = 0; i < held; i++)
            to[i] |= (uint64_t)plane[i] << 8 * place;
}

/* The numbers that are held, in order, to `to`; 0 where one is beyond the dictionary. */
static int
read_numbers(const Stored *source, uint64_t *to)
{
    Py_ssize_t held = source->count;
    if (source->planes < 1)
        for (Py_ssize_t i = 0; i < held; i++)
            to[i] = source->planes ? source->constant : 0;
    for (int place = 0; place < source->planes; place++)
        add_plane(source->plane[place], held, place, to);
    if (!source->words)
        return 1;
    uint64_t most = 0;
    for (Py_ssize_t i = 0; i < held; i++)
        most = to[i] > most ? to[i] : most;
    return !held || most < source->known;
}

/* Numbers of the rows that have a column, moved to their rows; 0 elsewhere. `has` takes note. */
static void
place_numbers(const Stored *source, Py_ssize_t n, uint64_t *numbers, uint8_t *has, uint8_t mark)
{
    if (!source->bitmap) {
        for (Py_ssize_t i = 0; i < n; i++)
            has[i] |= mark;
        return;
    }
    Py_ssize_t from = source->count, i = n;
    while (i > 0) {
        if (!(i & 7) && source->bitmap[(i >> 3) - 1] == 255) {
            i -= 8;
            from -= 8;
            memmove(numbers + i, numbers + from, 8 * sizeof *numbers);
            for (int at = 0; at < 8; at++)
                has[i + at] |= mark;
            continue;
        }
        i--;
        int here = has_row(source->bitmap, i);
        numbers[i] = here ? numbers[--from] : 0;
        has[i] |= here ? mark : 0;
    }
}

static void
look_up(const Stored *source, uint64_t *numbers)
{
    for (Py_ssize_t i = 0; i < source->count; i++)
        numbers[i] = source->words[numbers[i]];
}

static void
unzigzag(Py_ssize_t n, uint64_t *numbers)
{
    for (Py_ssize_t i = 0; i < n; i++)
        numbers[i] = numbers[i] >> 1 ^ (0 - (numbers[i] & 1));
}

/* -- times ---------------------------------------------------------------------------------------------------- */

/* Times from steps: `to` has the number of each step. Where a step is ESCAPE, the next of `large` is taken. */
static int
sum_up(const Stored *steps, uint64_t *to)
{
    Py_ssize_t used = 0;
    uint64_t now = steps->first;
    for (Py_ssize_t i = 0; i < steps->count; i++) {
        uint64_t step = to[i];
        if (step == ESCAPE) {
            if (used == steps->many)
                return 0;
            step = steps->large[used++];
        }
        now += step;
        to[i] = now * steps->unit;
    }
    return used == steps->many;
}

static uint64_t
sum_of(const uint8_t *bytes, Py_ssize_t n)
{
    uint64_t sum = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

/* The times of rows that all have one, without steps that do not fit a byte: only of the first and the last row, and of
 * those that are no accesses. 0 where they do not ascend.
 */
static int
sum_few(Py_ssize_t n, const Stored *steps, const uint32_t *rare, Py_ssize_t many_rare, uint64_t *to)
{
    const uint8_t *small = steps->plane[0];
    if ((int64_t)steps->unit < 1)
        return 0;
    int64_t most = INT64_MAX / (int64_t)steps->unit - ESCAPE * (int64_t)MOST_ROWS;
    if ((int64_t)steps->first > most || (int64_t)steps->first < -most)
        return 0;
    uint64_t now = steps->first + small[0];
    Py_ssize_t at = 1;
    to[0] = now * steps->unit;
    for (Py_ssize_t i = 0; i < many_rare; i++) {
        now += sum_of(small + at, rare[i] + 1 > at ? rare[i] + 1 - at : 0);
        at = rare[i] + 1 > at ? rare[i] + 1 : at;
        to[rare[i]] = now * steps->unit;
    }
    to[n - 1] = (now + sum_of(small + at, n - at)) * steps->unit;
    return 1;
}

/* -- blocks --------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t map;
    uint8_t width, has;
} Combined;

/* Takes counts[place * KINDS + kind] of a combination into the tally, and clears them; 0 where there is no memory. */
static int
take_counts(Tally *tally, const Stored *addr, const Combined *of, uint32_t *counts)
{
    for (uint64_t place = 0; place < addr->known; place++) {
        uint32_t *each = counts + place * KINDS;
        if (!(each[0] | each[1] | each[2]))
            continue;
        uint64_t number = of->has & HAS_ADDR ? addr->words[place] : 0;
        Entry *entry = tally_entry(tally, number, of->map, of->width, of->has);
        if (!entry)
            return 0;
        for (int kind = 0; kind < 3; kind++)
            entry->counts[kind] += each[kind];
        memset(each, 0, KINDS * sizeof *each);
    }
    return 1;
}

/* Counts the accesses among the rows at..n-1 one by one. */
static int
count_each(Running *running, Py_ssize_t at, Py_ssize_t n, const uint64_t *words)
{
    const uint8_t *kind = running->kind;
    for (Py_ssize_t i = at; i < n; i++) {
        if (kind[i] > UNKNOWN)
            continue;
        uint8_t has = (uint8_t)(running->has[i] & ~HAS_TIME);
        uint64_t number = running->numbers[ADDR][i];
        if (words)
            number = has & HAS_ADDR ? words[number] : 0;
        if (!tally_count(&running->tally, kind[i], number, (int64_t)running->numbers[MAP][i],
                         (uint8_t)running->numbers[WIDTH][i], has))
            return 0;
    }
    return 1;
}

/* Counts what lies in running->numbers (places of addresses in a dictionary, maps, widths) and running->has: by place and
 * kind, apart for each combination of the others; where there are too many of these, one by one.
 */
static int
count_places(Running *running, Py_ssize_t n, const Stored *addr)
{
    const uint8_t *restrict kind = running->kind;
    Combined combined[MOST_COMBINED];
    int used = 0, most = (int)(MOST_PLACES / (addr->known ? addr->known : 1));
    most = most < MOST_COMBINED ? most : MOST_COMBINED;
    uint32_t *counts = running->counts;
    const uint64_t *restrict place = running->numbers[ADDR], *restrict map = running->numbers[MAP],
                   *restrict width = running->numbers[WIDTH];
    const uint8_t *restrict present = running->has;
    uint64_t last_map = 0, last_width = 0;
    uint8_t last = 0;
    Py_ssize_t i = 0;
    for (; i < n; i++) {
        if (kind[i] > UNKNOWN)
            continue;
        if (map[i] != last_map || width[i] != last_width || present[i] != last) {
            Combined one = {.map = (int64_t)map[i], .width = (uint8_t)width[i], .has = (uint8_t)(present[i] & ~HAS_TIME)};
            int c = 0;
            while (c < used &&
                   (combined[c].map != one.map || combined[c].width != one.width || combined[c].has != one.has))
                c++;
            if (c == most)
                break;
            if (c == used)
                combined[used++] = one;
            counts = running->counts + (size_t)c * addr->known * KINDS;
            last_map = map[i];
            last_width = width[i];
            last = present[i];
        }
        counts[place[i] * KINDS + kind[i]]++;
    }
    for (int c = 0; c < used; c++)
        if (!take_counts(&running->tally, addr, &combined[c], running->counts + (size_t)c * addr->known * KINDS))
            return 0;
    return count_each(running, i, n, addr->words);
}

/* Takes note of the rows that are no accesses; how many, or -1 where there is one that is not for us. */
static Py_ssize_t
find_rare(const uint8_t *kind, Py_ssize_t n, uint32_t *rare)
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
            rare[found++] = (uint32_t)i;
        i++;
    }
    return found;
}

/* What the columns of a block say of its times. No row is -1. */
typedef struct {
    int64_t first, last, least, greatest;
    Py_ssize_t first_row, last_row;
} Times;

/* Reads the times of a block of n rows; 0 where they cannot be. */
static int
read_times(Running *running, const Stored *time, Py_ssize_t n, Py_ssize_t rare, Times *to)
{
    uint64_t *numbers = running->numbers[TIME];
    int few = time->steps && !time->bitmap && !time->many && !memchr(time->plane[0], ESCAPE, (size_t)n) &&
              sum_few(n, time, running->rare, rare, numbers);
    if (!few && (!read_numbers(time, numbers) || (time->steps && !sum_up(time, numbers))))
        return 0;
    if (!time->count)
        return 1;
    to->first = to->least = (int64_t)numbers[0];
    to->last = to->greatest = (int64_t)numbers[time->count - 1];
    for (Py_ssize_t i = 0; !few && i < time->count; i++) {
        int64_t now = (int64_t)numbers[i];
        to->least = now < to->least ? now : to->least;
        to->greatest = now > to->greatest ? now : to->greatest;
    }
    to->first_row = 0;
    to->last_row = n - 1;
    while (time->bitmap && !has_row(time->bitmap, to->first_row))
        to->first_row++;
    while (time->bitmap && !has_row(time->bitmap, to->last_row))
        to->last_row--;
    return 1;
}

/* Reads the columns of a block of n rows, and finds those that are no accesses: how many, or -1 where the block says what
 * cannot be, or is not for us. Columns that are not there have `there` 0.
 */
static Py_ssize_t
read_block(Running *running, const Stored *columns, const int *there, Py_ssize_t n, Times *times)
{
    static const uint8_t marks[COLUMNS] = {0, HAS_ADDR, HAS_MAP, HAS_WIDTH, HAS_TIME};
    const Stored *kind = &columns[KIND], *addr = &columns[ADDR];
    if (!there[KIND] || kind->bitmap || kind->words || kind->steps || kind->planes > 1 ||
        (there[ADDR] && addr->words && addr->known > MOST_PLACES))
        return -1;
    if (kind->planes == 1)
        memcpy(running->kind, kind->plane[0], (size_t)n);
    else
        memset(running->kind, kind->planes ? (int)(kind->constant & 255) : 0, (size_t)n);
    Py_ssize_t rare = find_rare(running->kind, n, running->rare);
    memset(running->has, HAS_ANY, (size_t)n);
    for (int c = ADDR; rare >= 0 && c < COLUMNS; c++) {
        const Stored *column = &columns[c];
        uint64_t *numbers = running->numbers[c];
        if (!there[c]) {
            memset(numbers, 0, (size_t)n * sizeof *numbers);
            continue;
        }
        if (c == TIME ? !read_times(running, column, n, rare, times) : column->steps || !read_numbers(column, numbers))
            return -1;
        if (c != ADDR && column->words)
            look_up(column, numbers);
        if (c != TIME && column->zigzag)
            unzigzag(column->count, numbers);
        place_numbers(column, n, numbers, running->has, marks[c]);
    }
    return rare;
}

/* The rows that are no accesses, as bytes. */
static PyObject *
tell_rare(const Running *running, Py_ssize_t rare, const uint64_t *words)
{
    PyObject *found = PyBytes_FromStringAndSize(NULL, rare * (Py_ssize_t)sizeof(Rare));
    char *to = found ? PyBytes_AsString(found) : NULL;
    for (Py_ssize_t at = 0; to && at < rare; at++) {
        uint32_t i = running->rare[at];
        uint64_t number = running->numbers[ADDR][i];
        uint8_t has = running->has[i];
        Rare one = {.row = i, .kind = running->kind[i], .has = has, .time = (int64_t)running->numbers[TIME][i],
                    .map = (int64_t)running->numbers[MAP][i], .width = (uint8_t)running->numbers[WIDTH][i],
                    .addr = words && has & HAS_ADDR ? words[number] : number};
        memcpy(to + at * (Py_ssize_t)sizeof one, &one, sizeof one);
    }
    return found;
}

/* tally_block(tally, n, (kind, addr, map, width, time)) -> (times or None, rare, entries so far), or None
 *
 * Counts the accesses of a block of n rows. A column is as `hold_stored` takes it, or None where no row has one.
 * `times` are first and last time, their rows, least and greatest. `rare` has the rows that are no accesses. None, and
 * nothing is counted, where the block says what cannot be, or has rows whose times do not count.
 */
static PyObject *
tally_block(PyObject *self, PyObject *args)
{
    PyObject *capsule, *given[COLUMNS];
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "On(OOOOO)", &capsule, &n, &given[KIND], &given[ADDR], &given[MAP], &given[WIDTH],
                          &given[TIME]))
        return NULL;
    Running *running = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!running)
        return NULL;
    if (n < 1 || n > MOST_ROWS) {
        PyErr_SetString(PyExc_ValueError, "more rows than a block may have");
        return NULL;
    }
    Buffers buffers[COLUMNS] = {0};
    Stored columns[COLUMNS];
    int good = 1, there[COLUMNS];
    for (int c = 0; good && c < COLUMNS; c++)
        good = !(there[c] = given[c] != Py_None) || hold_stored(&buffers[c], given[c], n, &columns[c]);
    Times times = {.first_row = -1, .last_row = -1};
    Py_ssize_t rare = good ? read_block(running, columns, there, n, &times) : -1;
    PyObject *answer = NULL;
    if (rare >= 0) {
        const Stored *addr = there[ADDR] && columns[ADDR].words && columns[ADDR].known ? &columns[ADDR] : NULL;
        if (!(addr ? count_places(running, n, addr) : count_each(running, 0, n, NULL)))
            PyErr_NoMemory();
        else {
            PyObject *of_times = times.first_row < 0
                                     ? Py_NewRef(Py_None)
                                     : Py_BuildValue("LLnnLL", (long long)times.first, (long long)times.last,
                                                     times.first_row, times.last_row, (long long)times.least,
                                                     (long long)times.greatest);
            PyObject *of_rare = tell_rare(running, rare, addr ? addr->words : NULL);
            if (of_times && of_rare)
                answer = Py_BuildValue("OOn", of_times, of_rare, running->tally.count);
            Py_XDECREF(of_times);
            Py_XDECREF(of_rare);
        }
    } else if (good)
        answer = Py_NewRef(Py_None);
    for (int c = 0; c < COLUMNS; c++)
        let_go(&buffers[c]);
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

PyMethodDef block_functions[] = {
    {"new_tally", new_tally, METH_NOARGS, "Counts over many blocks."},
    {"take_entries", take_entries, METH_O, "What was counted."},
    {"tally_block", tally_block, METH_VARARGS, "Counts of the accesses of a native block."},
    {"sums", sums, METH_O, "Running sums, in place."},
    {NULL, NULL, 0, NULL},
};
