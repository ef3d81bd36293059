/* Counts of the accesses of native blocks, from their byte planes: no column is made. */
#include "tally.h"

/* No block has more rows. */
#define MOST_ROWS 65536
/* The highest kind of an event, and the one whose times do not count. */
#define LAST_KIND 10
#define LOST 6
/* Of Rare.has alone. */
#define HAS_TIME 16
#define ESCAPE 255
#define CAPSULE "mmiotools.tally"

/* A row that is no access, as formats/native_tally.py unpacks it. */
typedef struct {
    int64_t row, time, map;
    uint64_t addr;
    uint8_t kind, width, has, spare[5];
} Rare;

/* -- a tally over many blocks --------------------------------------------------------------------------------- */

/* Kinds of accesses at a place of a dictionary, and one spare; places that are counted at once. */
#define KINDS 4
#define MOST_PLACES MOST_ROWS
/* Combinations of map, width and presence of which a block has few. */
#define MOST_COMBINED 8

typedef struct {
    Tally tally;
    /* Room for a block: numbers of each column, whether a row has them, rows that are no accesses. */
    uint64_t numbers[4][MOST_ROWS];
    uint8_t has[MOST_ROWS];
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

/* take_entries(tally) -> its entries as bytes; it is empty then */
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
    return tally_finish(&full);
}

/* -- columns -------------------------------------------------------------------------------------------------- */

/* Numbers of `held` rows: byte planes, or one number where there are none; perhaps places in a dictionary. */
typedef struct {
    const uint8_t *planes[8], *rows;
    Py_ssize_t count, held;
    uint64_t number, known;
    const uint64_t *words;
} Source;

static inline int
bit(const uint8_t *bits, Py_ssize_t at)
{
    return bits[at >> 3] >> (at & 7) & 1;
}

/* A column from (planes, number, words or None, rows or None), n rows; 0 with an exception set. */
static int
hold_source(Buffers *buffers, PyObject *given, Py_ssize_t n, Source *source)
{
    PyObject *planes, *words, *rows;
    unsigned long long number;
    *source = (Source){.held = n};
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a column is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(given, "O!KOO", &PyList_Type, &planes, &number, &words, &rows))
        return 0;
    source->number = number;
    source->count = PyList_Size(planes);
    if (source->count > 8) {
        PyErr_SetString(PyExc_ValueError, "too many planes");
        return 0;
    }
    if (rows != Py_None) {
        if (!(source->rows = hold(buffers, rows, (n + 7) / 8, 1, 0)))
            return 0;
        source->held = 0;
        for (Py_ssize_t byte = 0; byte < n / 8; byte++)
            source->held += __builtin_popcount(source->rows[byte]);
        for (Py_ssize_t i = n / 8 * 8; i < n; i++)
            source->held += bit(source->rows, i);
    }
    for (Py_ssize_t place = 0; place < source->count; place++)
        if (!(source->planes[place] = hold(buffers, PyList_GetItem(planes, place), source->held, 1, 0)))
            return 0;
    if (words != Py_None) {
        if (!(source->words = hold(buffers, words, 0, 8, 0)))
            return 0;
        source->known = (uint64_t)buffers->views[buffers->held - 1].len / 8;
    }
    return 1;
}

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
read_numbers(const Source *source, uint64_t *to)
{
    Py_ssize_t held = source->held;
    if (!source->count)
        for (Py_ssize_t i = 0; i < held; i++)
            to[i] = source->number;
    for (Py_ssize_t place = 0; place < source->count; place++)
        add_plane(source->planes[place], held, place, to);
    if (!source->words)
        return 1;
    uint64_t most = 0;
    for (Py_ssize_t i = 0; i < held; i++)
        most = to[i] > most ? to[i] : most;
    return !held || most < source->known;
}

/* Numbers of the rows that have a column, moved to their rows; 0 elsewhere. `has` takes note. */
static void
place_numbers(const Source *source, Py_ssize_t n, uint64_t *numbers, uint8_t *has, uint8_t mark)
{
    if (!source->rows) {
        for (Py_ssize_t i = 0; i < n; i++)
            has[i] |= mark;
        return;
    }
    Py_ssize_t from = source->held, i = n;
    while (i > 0) {
        if (!(i & 7) && source->rows[(i >> 3) - 1] == 255) {
            i -= 8;
            from -= 8;
            memmove(numbers + i, numbers + from, 8 * sizeof *numbers);
            for (int at = 0; at < 8; at++)
                has[i + at] |= mark;
            continue;
        }
        i--;
        int here = bit(source->rows, i);
        numbers[i] = here ? numbers[--from] : 0;
        has[i] |= here ? mark : 0;
    }
}

static void
look_up(const Source *source, uint64_t *numbers)
{
    for (Py_ssize_t i = 0; i < source->held; i++)
        numbers[i] = source->words[numbers[i]];
}

static void
unzigzag(Py_ssize_t n, uint64_t *numbers)
{
    for (Py_ssize_t i = 0; i < n; i++)
        numbers[i] = numbers[i] >> 1 ^ (0 - (numbers[i] & 1));
}

/* -- times ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t first, unit, many;
    const uint64_t *large;
} Steps;

/* Times from steps: `to` has the number of each step. Where a step is ESCAPE, the next of `large` is taken. */
static int
sum_up(Py_ssize_t n, const Steps *steps, uint64_t *to)
{
    uint64_t used = 0, now = steps->first;
    for (Py_ssize_t i = 0; i < n; i++) {
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
sum_few(Py_ssize_t n, const uint8_t *small, const Steps *steps, const uint32_t *rare, Py_ssize_t many_rare, uint64_t *to)
{
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
take_counts(Tally *tally, const Source *addr, const Combined *of, uint32_t *counts)
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
count_each(Running *running, Py_ssize_t at, Py_ssize_t n, const uint8_t *kind, const uint64_t *words)
{
    for (Py_ssize_t i = at; i < n; i++) {
        if (kind[i] > UNKNOWN)
            continue;
        uint8_t has = (uint8_t)(running->has[i] & ~HAS_TIME);
        uint64_t number = running->numbers[0][i];
        if (words)
            number = has & HAS_ADDR ? words[number] : 0;
        if (!tally_count(&running->tally, kind[i], number, (int64_t)running->numbers[1][i],
                         (uint8_t)running->numbers[2][i], has))
            return 0;
    }
    return 1;
}

/* Counts what lies in running->numbers (places of addresses in a dictionary, maps, widths) and running->has: by place and
 * kind, apart for each combination of the others; where there are too many of these, one by one.
 */
static int
count_places(Running *running, Py_ssize_t n, const uint8_t *kind, const Source *addr)
{
    Combined combined[MOST_COMBINED];
    int used = 0, most = (int)(MOST_PLACES / (addr->known ? addr->known : 1));
    most = most < MOST_COMBINED ? most : MOST_COMBINED;
    uint32_t *counts = running->counts;
    const uint64_t *restrict place = running->numbers[0], *restrict map = running->numbers[1],
                   *restrict width = running->numbers[2];
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
    return count_each(running, i, n, kind, addr->words);
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
        if (kind[i] > LAST_KIND || kind[i] == LOST)
            return -1;
        if (kind[i] > UNKNOWN)
            rare[found++] = (uint32_t)i;
        i++;
    }
    return found;
}

/* tally_block(tally, n, kind, addr, map, width, time, steps) -> (times or None, rare, entries so far), or None
 *
 * Counts the accesses of a block of n rows. A column is (planes, number, words, rows): a list of byte planes, or the
 * number that all have where it is empty; the numbers for which these stand, or None; and the bits of the rows that have
 * it, or None for all. A column that no row has is None. Maps are zigzagged in planes and in words, not as `number`.
 * `steps` is (first, unit, large) where the numbers of `time` are steps, else None.
 *
 * `times` are first and last time, their rows, least and greatest. `rare` has the rows that are no accesses. None, and
 * nothing is counted, where the block says what cannot be, or has rows whose times do not count.
 */
static PyObject *
tally_block(PyObject *self, PyObject *args)
{
    PyObject *capsule, *of_kind, *given[4], *of_steps;
    Py_ssize_t n, rare = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnOOOOOO", &capsule, &n, &of_kind, &given[0], &given[1], &given[2], &given[3],
                          &of_steps))
        return NULL;
    Running *running = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!running)
        return NULL;
    if (n < 1 || n > MOST_ROWS) {
        PyErr_SetString(PyExc_ValueError, "more rows than a block may have");
        return NULL;
    }
    static const uint8_t marks[4] = {HAS_ADDR, HAS_MAP, HAS_WIDTH, HAS_TIME};
    Buffers buffers[5] = {0};
    Source sources[4];
    Steps steps = {.unit = 1};
    const uint8_t *kind = hold(&buffers[4], of_kind, n, 1, 0);
    int good = kind != NULL, sound = 1;
    for (int c = 0; good && c < 4; c++)
        good = given[c] == Py_None || hold_source(&buffers[c], given[c], n, &sources[c]);
    if (good && of_steps != Py_None) {
        PyObject *of_large;
        long long first, unit;
        if (!PyTuple_Check(of_steps)) {
            PyErr_SetString(PyExc_TypeError, "steps are a tuple");
            good = 0;
        } else if ((good = PyArg_ParseTuple(of_steps, "LLO", &first, &unit, &of_large)) &&
                   (good = (steps.large = hold(&buffers[4], of_large, 0, 8, 0)) != NULL)) {
            steps.first = (uint64_t)first;
            steps.unit = (uint64_t)unit;
            steps.many = (uint64_t)buffers[4].views[buffers[4].held - 1].len / 8;
        }
    }
    int64_t first = 0, last = 0, least = 0, greatest = 0;
    Py_ssize_t first_row = -1, last_row = -1;
    if (good) {
        sound = (rare = find_rare(kind, n, running->rare)) >= 0;
        memset(running->has, HAS_ANY, (size_t)n);
        for (int c = 0; sound && c < 4; c++) {
            uint64_t *numbers = running->numbers[c];
            const Source *source = &sources[c];
            if (given[c] == Py_None) {
                memset(numbers, 0, (size_t)n * sizeof *numbers);
                continue;
            }
            int few = c == 3 && of_steps != Py_None && source->count == 1 && !source->rows && !source->words &&
                      !steps.many && !memchr(source->planes[0], ESCAPE, (size_t)n) &&
                      sum_few(n, source->planes[0], &steps, running->rare, rare, numbers);
            sound = few || (read_numbers(source, numbers) && (c || !source->words || source->known <= MOST_PLACES));
            if (!sound)
                break;
            if (c && source->words)
                look_up(source, numbers);
            if (c == 1 && (source->count || source->words))
                unzigzag(source->held, numbers);
            if (c == 3 && !few && of_steps != Py_None && !(sound = sum_up(source->held, &steps, numbers)))
                break;
            if (c == 3 && source->held) {
                first = least = (int64_t)numbers[0];
                last = greatest = (int64_t)numbers[source->held - 1];
                for (Py_ssize_t i = 0; !few && i < source->held; i++) {
                    int64_t now = (int64_t)numbers[i];
                    least = now < least ? now : least;
                    greatest = now > greatest ? now : greatest;
                }
                for (first_row = 0; source->rows && !bit(source->rows, first_row); first_row++)
                    ;
                for (last_row = n - 1; source->rows && !bit(source->rows, last_row); last_row--)
                    ;
            }
            place_numbers(source, n, numbers, running->has, marks[c]);
        }
    }
    PyObject *answer = NULL, *times = NULL, *found = NULL;
    if (good && sound) {
        const Source *addr = given[0] == Py_None ? NULL : &sources[0];
        good = addr && addr->known ? count_places(running, n, kind, addr) : count_each(running, 0, n, kind, NULL);
        if (!good)
            PyErr_NoMemory();
    }
    if (good && sound) {
        times = first_row < 0 ? Py_NewRef(Py_None)
                              : Py_BuildValue("LLnnLL", (long long)first, (long long)last, first_row, last_row,
                                              (long long)least, (long long)greatest);
        found = PyBytes_FromStringAndSize(NULL, rare * (Py_ssize_t)sizeof(Rare));
        if (times && found) {
            char *to = PyBytes_AsString(found);
            for (Py_ssize_t at = 0; at < rare; at++) {
                uint32_t i = running->rare[at];
                uint64_t place = running->numbers[0][i];
                uint8_t has = running->has[i];
                Rare one = {.row = i, .kind = kind[i], .has = has, .time = (int64_t)running->numbers[3][i],
                            .map = (int64_t)running->numbers[1][i], .width = (uint8_t)running->numbers[2][i],
                            .addr = has & HAS_ADDR && sources[0].words ? sources[0].words[place] : place};
                memcpy(to + at * (Py_ssize_t)sizeof one, &one, sizeof one);
            }
            answer = Py_BuildValue("OOn", times, found, running->tally.count);
        }
        Py_XDECREF(times);
        Py_XDECREF(found);
    }
    for (int c = 0; c < 5; c++)
        let_go(&buffers[c]);
    return answer ? answer : good && !sound ? Py_NewRef(Py_None) : NULL;
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
