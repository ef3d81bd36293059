/* Rows of a native block, straight from its columns as they are stored: which of them an expression selects, their
 * numbers, and their lines of mmiotrace text. Only what is asked for is decoded.
 */
#include "block.h"
#include "row_lines.h"
#include "text.h"

#include <stdlib.h>

/* What one call takes: columns that an expression looks at, steps of the expression. */
#define MOST_COLUMNS 8
#define MOST_STEPS 64
/* Columns whose numbers one call gives. */
#define MOST_TAKEN 16

/* -- expressions --------------------------------------------------------------------------------------------- */

/* Whether a number lies in one of some ranges, ascending and apart: its bits of `mask`, those of `flip` turned over. */
typedef struct {
    const uint64_t *low, *high;
    Py_ssize_t count;
    uint64_t mask, flip;
} Ranges;

static inline uint8_t
lies_in(const Ranges *ranges, uint64_t number)
{
    number = (number & ranges->mask) ^ ranges->flip;
    Py_ssize_t low = 0, high = ranges->count;
    while (high - low > 4) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (ranges->low[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    for (; low < high; low++)
        if (number >= ranges->low[low] && number <= ranges->high[low])
            return 1;
    return 0;
}

/* Whether each of the numbers that a column holds has a code for which `table` is not 0; 0 where one is beyond the table. */
static inline int
look_up_codes(const Stored *from, int planes, const uint8_t *table, uint64_t known, uint8_t *out)
{
    for (Py_ssize_t place = 0; place < from->count; place++) {
        uint64_t code = code_at(from, planes, place);
        if (code >= known)
            return 0;
        out[place] = table[code];
    }
    return 1;
}

/* Adds those whose codes are from low to high, of one plane and of two; 0 where one is beyond the last code. Without branches
 * and in their own types, so that compilers do many at a time.
 */
static int
compare_bytes(const uint8_t *restrict codes, Py_ssize_t count, uint8_t low, uint8_t high, uint8_t last, uint8_t *restrict out)
{
    uint8_t span = (uint8_t)(high - low), beyond = 0;
    for (Py_ssize_t place = 0; place < count; place++) {
        out[place] |= (uint8_t)(codes[place] - low) <= span;
        beyond |= codes[place] > last;
    }
    return !beyond;
}

static int
compare_pairs(const uint8_t *restrict first, const uint8_t *restrict second, Py_ssize_t count, uint16_t low, uint16_t high,
              uint16_t last, uint8_t *restrict out)
{
    uint16_t span = (uint16_t)(high - low), beyond = 0;
    for (Py_ssize_t place = 0; place < count; place++) {
        uint16_t code = (uint16_t)(first[place] | second[place] << 8);
        out[place] |= (uint16_t)(code - low) <= span;
        beyond |= code > last;
    }
    return !beyond;
}

/* As many runs of codes are compared one after the other. */
#define MOST_RUNS 6

/* The codes that a table wants as runs, from..to-1 each; how many, or MOST_RUNS + 1 where there are more. */
static int
runs_of(const uint8_t *table, uint64_t known, uint64_t from[MOST_RUNS], uint64_t to[MOST_RUNS])
{
    int runs = 0;
    for (uint64_t code = 0; code < known; code++) {
        if (!table[code])
            continue;
        if (runs == MOST_RUNS)
            return runs + 1;
        from[runs] = code;
        while (code < known && table[code])
            code++;
        to[runs++] = code;
    }
    return runs;
}

/* The one or the other, whichever does. */
static int
test_codes(const Stored *from, const uint8_t *table, uint64_t known, uint8_t *out)
{
    uint64_t low[MOST_RUNS], end[MOST_RUNS];
    int runs = runs_of(table, known, low, end), good = 1;
    if (from->planes < 1 || from->planes > 2 || known > 1 << 16 || runs > MOST_RUNS)
        return from->planes == 1   ? look_up_codes(from, 1, table, known, out)
               : from->planes == 2 ? look_up_codes(from, 2, table, known, out)
                                   : look_up_codes(from, from->planes, table, known, out);
    memset(out, 0, (size_t)from->count);
    if (!runs) { /* a comparison with any, to know of codes that are beyond */
        low[0] = 0;
        end[0] = 1;
    }
    for (int run = 0; good && run < (runs ? runs : 1); run++)
        if (from->planes == 2)
            good = compare_pairs(from->plane[0], from->plane[1], from->count, (uint16_t)low[run], (uint16_t)(end[run] - 1),
                                 (uint16_t)(known - 1), out);
        else if (low[run] < 256)
            good = compare_bytes(from->plane[0], from->count, (uint8_t)low[run],
                                 (uint8_t)(end[run] < 256 ? end[run] - 1 : 255),
                                 (uint8_t)(known < 256 ? known - 1 : 255), out);
    if (!runs)
        memset(out, 0, (size_t)from->count);
    return good;
}

/* Which of n rows have a number in the ranges; 0 where a code is beyond its dictionary, -1 without memory. */
static int
test_rows(const Stored *from, const Ranges *ranges, Py_ssize_t n, uint8_t *out)
{
    if (from->planes < 0) {
        uint8_t found = lies_in(ranges, from->constant);
        for (Py_ssize_t row = 0; row < n; row++)
            out[row] = found && (!from->bitmap || has_row(from->bitmap, row));
        return 1;
    }
    int good, few = from->words || ((from->distinct ? from->row_planes : from->planes) <= 1 && !from->steps);
    if (few || from->distinct) {
        uint64_t known = !few ? 0 : from->words ? from->known : 256;
        uint8_t *table = malloc((size_t)(known + from->distinct) + 1), *of_row = table + known;
        if (!table)
            return -1;
        for (uint64_t code = 0; code < known; code++)
            table[code] = lies_in(ranges, meant(from, from->words ? from->words[code] : code));
        for (uint64_t row = 0; row < from->distinct; row++)
            of_row[row] = few ? table[code_of_row(from, row)] : lies_in(ranges, number_of_row(from, row));
        good = from->distinct ? test_codes(from, of_row, from->distinct, out) : test_codes(from, table, known, out);
        spread(from, n, out, 1);
        free(table);
        return good;
    }
    uint64_t *numbers = malloc((size_t)(n ? n : 1) * sizeof *numbers);
    uint8_t *has = malloc((size_t)(n ? n : 1));
    good = numbers && has ? numbers_of(from, NULL, n, numbers, has) : -1;
    for (Py_ssize_t row = 0; good > 0 && row < n; row++)
        out[row] = has[row] && lies_in(ranges, numbers[row]);
    free(numbers);
    free(has);
    return good;
}

int
rows_between(const Stored *from, uint64_t low, uint64_t high, Py_ssize_t n, uint8_t *out)
{
    Ranges ranges = {&low, &high, 1, UINT64_MAX, 0};
    return test_rows(from, &ranges, n, out);
}

enum { AND, OR, NOT };

typedef struct {
    int action, column;
    Ranges ranges;
} Step;

/* Reads the steps of an expression, in postfix order: AND, OR, NOT, or (column, mask, flip, lows, highs); how deep its
 * stack gets, 0 with an exception set.
 */
static Py_ssize_t
hold_steps(Buffers *buffers, PyObject *tuple, Py_ssize_t width, Step *steps, Py_ssize_t count)
{
    Py_ssize_t depth = 0, deepest = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i), *lows, *highs;
        unsigned long long mask, flip;
        if (PyLong_Check(item)) {
            long action = PyLong_AsLong(item);
            steps[i].action = (int)action;
            if (action < AND || action > NOT || depth < (action == NOT ? 1 : 2)) {
                PyErr_SetString(PyExc_ValueError, "no such step");
                return 0;
            }
            depth -= action != NOT;
            continue;
        }
        Step *step = &steps[i];
        step->action = -1;
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "no tuple");
            return 0;
        }
        if (!PyArg_ParseTuple(item, "iKKOO", &step->column, &mask, &flip, &lows, &highs))
            return 0;
        if (step->column < 0 || step->column >= width) {
            PyErr_SetString(PyExc_ValueError, "no such column");
            return 0;
        }
        if (!(step->ranges.low = hold(buffers, lows, 0, 8, 0)))
            return 0;
        step->ranges.count = buffers->views[buffers->held - 1].len / 8;
        if (!(step->ranges.high = hold(buffers, highs, step->ranges.count, 8, 0)))
            return 0;
        step->ranges.mask = mask;
        step->ranges.flip = flip;
        if (++depth > deepest)
            deepest = depth;
    }
    if (depth == 1)
        return deepest;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "not one expression");
    return 0;
}

/* 1, 0 where a code is beyond its dictionary, -1 without memory; the mask is at the bottom of the stack. */
static int
evaluate(const Step *steps, Py_ssize_t count, const Stored *const *columns, Py_ssize_t n, uint8_t *stack)
{
    uint8_t *top = stack - n;
    for (Py_ssize_t i = 0; i < count; i++) {
        const Step *step = &steps[i];
        if (step->action == NOT)
            for (Py_ssize_t row = 0; row < n; row++)
                top[row] = !top[row];
        else if (step->action == AND || step->action == OR) {
            uint8_t *below = top - n;
            if (step->action == AND)
                for (Py_ssize_t row = 0; row < n; row++)
                    below[row] &= top[row];
            else
                for (Py_ssize_t row = 0; row < n; row++)
                    below[row] |= top[row];
            top = below;
        } else {
            top += n;
            if (!columns[step->column]) {
                memset(top, 0, (size_t)n);
                continue;
            }
            int good = test_rows(columns[step->column], &step->ranges, n, top);
            if (good <= 0)
                return good;
        }
    }
    return 1;
}

void
list_rows(const uint8_t *chosen, Py_ssize_t n, char *out)
{
    for (int32_t row = 0; row < n;) {
        if (n - row >= 8) {
            uint64_t eight;
            memcpy(&eight, chosen + row, sizeof eight);
            if (!eight) {
                row += 8;
                continue;
            }
        }
        if (chosen[row]) {
            memcpy(out, &row, sizeof row);
            out += sizeof row;
        }
        row++;
    }
}

/* pick_rows(block, names, steps, within or None) -> the rows of a block that an expression selects, ascending int32, as bytes
 *
 * `names` are those of the columns that the steps look at.
 * `within` has a byte a row: rows where it is 0 are left out. Raises ValueError where a code is beyond its dictionary, and
 * as read_block does.
 */
static PyObject *
pick_rows(PyObject *self, PyObject *args)
{
    PyObject *capsule, *names, *list, *mask_object, *tuple, *answer = NULL;
    Py_ssize_t n, found = 0, deepest = 0;
    const Stored *columns[MOST_COLUMNS];
    uint8_t *stack = NULL;
    Step steps[MOST_STEPS];
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!O!O", &capsule, &PyTuple_Type, &names, &PyList_Type, &list, &mask_object))
        return NULL;
    Block *block = block_of(capsule, &n);
    /* Others may change the list while the block is decoded. */
    if (!block || !(tuple = PyList_AsTuple(list)))
        return NULL;
    Py_ssize_t width = PyTuple_Size(names), count = PyTuple_Size(tuple);
    if (width > MOST_COLUMNS || count > MOST_STEPS) {
        PyErr_SetString(PyExc_ValueError, "too many columns or steps");
        Py_DECREF(tuple);
        return NULL;
    }
    Buffers buffers = {.held = 0};
    const uint8_t *within = NULL;
    int good = mask_object == Py_None || (within = hold(&buffers, mask_object, n, 1, 0)) != NULL;
    for (Py_ssize_t i = 0; good && i < width; i++) {
        int which = column_named(PyTuple_GetItem(names, i));
        good = which >= 0 && block_column(block, which, &columns[i]);
    }
    good = good && (deepest = hold_steps(&buffers, tuple, width, steps, count)) > 0;
    if (good && !(stack = malloc((size_t)(deepest * n + 1)))) {
        PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        good = evaluate(steps, count, columns, n, stack);
        for (Py_ssize_t row = 0; within && good > 0 && row < n; row++)
            stack[row] &= within[row] != 0;
        found = good > 0 ? (Py_ssize_t)sum_of_bytes(stack, n) : 0;
        Py_END_ALLOW_THREADS
        answer = good > 0 ? PyBytes_FromStringAndSize(NULL, found * (Py_ssize_t)sizeof(int32_t)) : NULL;
        if (answer)
            list_rows(stack, n, PyBytes_AsString(answer));
        if (good < 0)
            PyErr_NoMemory();
        if (good == 0)
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    free(stack);
    let_go(&buffers);
    Py_DECREF(tuple);
    return answer;
}

/* -- numbers and lines --------------------------------------------------------------------------------------- */

/* Rows that are asked for, of a block of n: ascending; 0 with an exception set. */
static int
hold_rows(Buffers *buffers, PyObject *object, Py_ssize_t count, Py_ssize_t n, const int32_t **rows)
{
    *rows = NULL;
    if (n < 0 || n > MOST_ROWS || count < 0 || count > n) {
        PyErr_SetString(PyExc_ValueError, "too many rows");
        return 0;
    }
    if (!(*rows = hold(buffers, object, count, 4, 0)))
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if ((*rows)[i] < 0 || (*rows)[i] >= n || (i && (*rows)[i] <= (*rows)[i - 1])) {
            PyErr_SetString(PyExc_ValueError, "rows out of order");
            return 0;
        }
    return 1;
}

/* The numbers of some rows of columns as a list of a tuple for each row: None where it has none. */
static PyObject *
tuples_of(uint64_t *const *numbers, uint8_t *const *has, const int *is_signed, Py_ssize_t width, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *row = PyTuple_New(width);
        for (Py_ssize_t column = 0; row && column < width; column++) {
            PyObject *item = !numbers[column] || !has[column][i] ? Py_NewRef(Py_None)
                             : is_signed[column]                 ? PyLong_FromLongLong((int64_t)numbers[column][i])
                                                                 : PyLong_FromUnsignedLongLong(numbers[column][i]);
            if (!item || PyTuple_SetItem(row, column, item))
                Py_CLEAR(row);
        }
        if (!row || PyList_SetItem(list, i, row))
            Py_CLEAR(list);
    }
    return list;
}

/* take_rows(block, names, rows or None) -> a list of tuples, one for each row: its numbers in the columns of these names
 *
 * A number is None where the row or the block has none, or a name is None. `rows` are as pick_rows gives them, None for all.
 * Raises ValueError as pick_rows does.
 */
static PyObject *
take_rows(PyObject *self, PyObject *args)
{
    PyObject *capsule, *names, *rows_object, *answer = NULL;
    Py_ssize_t n, room;
    const Stored *columns[MOST_TAKEN] = {NULL};
    uint64_t *numbers[MOST_TAKEN] = {NULL}, *memory = NULL;
    uint8_t *has[MOST_TAKEN] = {NULL};
    int is_signed[MOST_TAKEN] = {0}, known = 1;
    const int32_t *rows = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!O", &capsule, &PyTuple_Type, &names, &rows_object))
        return NULL;
    Block *block = block_of(capsule, &n);
    Py_ssize_t width = PyTuple_Size(names), count = n;
    if (!block)
        return NULL;
    if (width > MOST_TAKEN) {
        PyErr_SetString(PyExc_ValueError, "too many columns");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    int good = rows_object == Py_None || hold(&buffers, rows_object, 0, 4, 0) != NULL;
    if (good && buffers.held) {
        count = buffers.views[0].len / 4;
        good = hold_rows(&buffers, rows_object, count, n, &rows);
    }
    for (Py_ssize_t i = 0; good && i < width; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int which = name == Py_None ? KNOWN : column_named(name);
        if (which == KNOWN)
            continue;
        good = which >= 0 && block_column(block, which, &columns[i]);
        is_signed[i] = which >= 0 && column_is_signed(which);
    }
    room = count + (count + 7) / 8;
    if (good && !(memory = malloc((size_t)(width * room + 1) * sizeof *memory))) {
        PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; known && i < width; i++)
            if (columns[i]) {
                numbers[i] = memory + i * room;
                has[i] = (uint8_t *)(numbers[i] + count);
                known = numbers_of(columns[i], rows, count, numbers[i], has[i]);
            }
        Py_END_ALLOW_THREADS
        if (known)
            answer = tuples_of(numbers, has, is_signed, width, count);
        else
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    free(memory);
    let_go(&buffers);
    return answer;
}

/* Lines that are put between those of accesses: at which rows, ascending, and each as bytes. */
typedef struct {
    const int32_t *rows;
    Py_ssize_t count;
    const uint8_t **text;
    Py_ssize_t *length;
} Between;

/* Holds them, as long as the tuple is there; their rows are of a block of n. 0 with an exception set. */
static int
hold_between(Buffers *buffers, PyObject *rows, PyObject *lines, Py_ssize_t n, Between *to)
{
    *to = (Between){.count = PyTuple_Size(lines)};
    if (!hold_rows(buffers, rows, to->count, n, &to->rows))
        return 0;
    to->text = malloc((size_t)(to->count + 1) * sizeof *to->text);
    to->length = malloc((size_t)(to->count + 1) * sizeof *to->length);
    if (!to->text || !to->length) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < to->count; i++) {
        char *text;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(lines, i), &text, &to->length[i]))
            return 0;
        to->text[i] = (const uint8_t *)text;
    }
    return 1;
}

/* The rows that are not those of such lines: how many. Before which of them each line stands. */
static Py_ssize_t
without_between(const int32_t *rows, Py_ssize_t count, const Between *between, int32_t *kept, int32_t *before)
{
    Py_ssize_t left = 0, next = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        while (next < between->count && between->rows[next] < rows[i])
            before[next++] = (int32_t)left;
        if (next < between->count && between->rows[next] == rows[i])
            before[next++] = (int32_t)left;
        else
            kept[left++] = rows[i];
    }
    while (next < between->count)
        before[next++] = (int32_t)left;
    return left;
}

/* What is told in place of a number of bytes: a row is no plain access; there is too little room. */
enum { NOT_PLAIN = -1, NO_ROOM = -2 };

/* Prints rows by the distinct ones, and the lines between them, in front of `end`; how many bytes, or one of the above. */
static Py_ssize_t
print_row_lines(RowLines *from, Py_ssize_t count, const Between *between, const int32_t *before, uint8_t *out,
                const uint8_t *end)
{
    uint8_t *to = out;
    Py_ssize_t done = 0;
    int fit = 1;
    for (Py_ssize_t i = 0; to && i <= between->count; i++) {
        const Py_ssize_t stop = i < between->count ? before[i] : count;
        to = put_row_lines(to, end, from, done, stop, &fit);
        done = stop;
        if (!to || i == between->count)
            break;
        if (end - to < between->length[i])
            return NO_ROOM;
        memcpy(to, between->text[i], (size_t)between->length[i]);
        to += between->length[i];
    }
    return to ? to - out : fit ? NO_ROOM : NOT_PLAIN;
}

/* Prints accesses, and the lines between them, in front of `end`; how many bytes, or one of the above. */
static Py_ssize_t
print_accesses(uint64_t *const numbers[PRINTED], uint8_t *const has[PRINTED], Py_ssize_t count, const Between *between,
               const int32_t *before, uint8_t *out, const uint8_t *end)
{
    uint8_t *kind = has[OF_KIND], *width = has[OF_WIDTH], *to = out;
    for (Py_ssize_t i = 0; i < count; i++) {
        int unknown = numbers[OF_KIND][i] == UNKNOWN;
        if (!kind[i] || numbers[OF_KIND][i] > UNKNOWN || !has[OF_TIME][i] || !has[OF_MAP][i] || !has[OF_ADDR][i] ||
            !has[OF_PC][i] || !has[OF_PID][i])
            return NOT_PLAIN;
        if ((int64_t)numbers[OF_TIME][i] < 0 || (int64_t)numbers[OF_MAP][i] < 0 || (int64_t)numbers[OF_PID][i] < 0)
            return NOT_PLAIN;
        if (unknown ? !has[OF_OPCODE][i] || numbers[OF_OPCODE][i] >> 56 != 3 : !width[i] || !has[OF_VALUE][i])
            return NOT_PLAIN;
        kind[i] = (uint8_t)numbers[OF_KIND][i];
        width[i] = (uint8_t)numbers[OF_WIDTH][i];
    }
    const Columns from = {.kind = kind,
                          .width = width,
                          .time = (int64_t *)numbers[OF_TIME],
                          .map = (int64_t *)numbers[OF_MAP],
                          .pid = (int64_t *)numbers[OF_PID],
                          .addr = numbers[OF_ADDR],
                          .value = numbers[OF_VALUE],
                          .pc = numbers[OF_PC],
                          .opcode = numbers[OF_OPCODE]};
    Py_ssize_t done = 0;
    for (Py_ssize_t i = 0; i < between->count; i++) {
        to = put_lines(to, end, &from, done, before[i]);
        if (!to || end - to < between->length[i])
            return NO_ROOM;
        done = before[i];
        memcpy(to, between->text[i], (size_t)between->length[i]);
        to += between->length[i];
    }
    to = put_lines(to, end, &from, done, count);
    return to ? to - out : NO_ROOM;
}

/* print_picked(block, rows, count, between, lines, out) -> bytes written; -1 where a row is no plain access, -2 where `out` has
 * too little room: LINE_MOST bytes a row, and the lines, surely do
 *
 * Prints rows of a block as `print_rows` does. The rows `between`, as many as there are `lines`, have these instead, whether
 * they are among the others or not. What is in `out` behind the bytes written means nothing. Raises ValueError as pick_rows
 * does.
 */
static PyObject *
print_picked(PyObject *self, PyObject *args)
{
    PyObject *capsule, *rows_object, *between_rows, *list, *lines, *to;
    Py_ssize_t n, count, written = NOT_PLAIN, size = 0;
    const int32_t *rows;
    const Stored *columns[PRINTED];
    uint8_t *room = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnOO!O", &capsule, &rows_object, &count, &between_rows, &PyList_Type, &list, &to))
        return NULL;
    Block *block = block_of(capsule, &n);
    /* Others may change the list while the block is decoded. */
    if (!block || !(lines = PyList_AsTuple(list)))
        return NULL;
    Buffers buffers = {.held = 0};
    Between between;
    uint8_t *out = NULL;
    int good = hold_between(&buffers, between_rows, lines, n, &between) && hold_rows(&buffers, rows_object, count, n, &rows);
    good = good && (out = hold(&buffers, to, 0, 1, 1)) != NULL;
    if (good)
        size = buffers.views[buffers.held - 1].len;
    for (int i = 0; good && i < PRINTED; i++)
        good = block_column(block, i, &columns[i]);
    if (good && !(room = calloc((size_t)(count + between.count + 1), PRINTED * 9 + 3 * sizeof(int32_t)))) {
        PyErr_NoMemory();
        good = 0;
    }
    if (good) {
        uint64_t *numbers[PRINTED];
        uint8_t *has[PRINTED];
        Py_BEGIN_ALLOW_THREADS
        int32_t *places = (int32_t *)(room + PRINTED * 8 * count), *kept = places + count, *before = kept + count;
        uint8_t *flags = (uint8_t *)(before + between.count);
        const uint8_t *bitmap = NULL; /* that the places are of: most columns have the same */
        Py_ssize_t left = without_between(rows, count, &between, kept, before);
        RowLines *shared = row_lines(block, columns, kept, left);
        if (shared)
            written = print_row_lines(shared, left, &between, before, out, out + size);
        end_row_lines(shared);
        const int done = shared && written != NOT_PLAIN;
        for (int i = 0; !done && good && i < PRINTED; i++) {
            const Stored *from = columns[i];
            numbers[i] = (uint64_t *)room + i * count;
            has[i] = flags + i * count;
            if (from && from->bitmap && (from->bitmap == bitmap || places_of(from, kept, left, places))) {
                bitmap = from->bitmap;
                memset(has[i], 1, (size_t)left);
                good = numbers_at(from, places, 0, left, numbers[i]);
            } else if (from) {
                bitmap = from->bitmap ? NULL : bitmap;
                good = numbers_of(from, kept, left, numbers[i], has[i]);
            }
        }
        if (!done && good)
            written = print_accesses(numbers, has, left, &between, before, out, out + size);
        Py_END_ALLOW_THREADS
        if (!good)
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    free(room);
    free(between.text);
    free(between.length);
    let_go(&buffers);
    Py_DECREF(lines);
    return good ? PyLong_FromSsize_t(written) : NULL;
}

/* -- times --------------------------------------------------------------------------------------------------- */

/* A range of times, and whether the row before lies in it. */
typedef struct {
    int64_t low, high;
    uint8_t inside;
} Window;

static inline uint8_t
is_within(Window *window, uint64_t time)
{
    window->inside = (int64_t)time >= window->low && (int64_t)time <= window->high;
    return window->inside;
}

/* Puts into `out`, where a byte is 1 for each row that has no time of its own, which of n rows lie in a window. All
 * rows have times, stored as steps, which are not put anywhere.
 */
static void
steps_within(const Stored *times, Py_ssize_t n, Window *window, uint8_t *out)
{
    uint64_t now = times->first;
    const uint8_t *small = times->plane[0];
    Py_ssize_t used = 0;
    for (Py_ssize_t row = 0; row < n; row++) {
        now += small[row] == ESCAPE ? times->large[used++] : small[row];
        out[row] = out[row] ? window->inside : is_within(window, now * times->unit);
    }
}

/* The same, however they are stored; 0 where a code is beyond its dictionary, -1 without memory. */
static int
times_within(const Stored *times, Py_ssize_t n, Window *window, uint8_t *out)
{
    uint64_t *numbers = malloc((size_t)n * 9 + 1);
    if (!numbers)
        return -1;
    uint8_t *has = (uint8_t *)(numbers + n);
    const int known = numbers_of(times, NULL, n, numbers, has);
    for (Py_ssize_t row = 0; known && row < n; row++)
        out[row] = out[row] || !has[row] ? window->inside : is_within(window, numbers[row]);
    free(numbers);
    return known;
}

/* rows_within(block, low, high, inside, out) -> whether the last row is inside
 *
 * Which rows of a block lie in a window of times, a byte each. A row without a time, or one of kind LOST, goes with the row
 * before it, the first with `inside`. Raises ValueError as pick_rows does.
 */
static PyObject *
rows_within(PyObject *self, PyObject *args)
{
    PyObject *capsule, *to;
    Py_ssize_t n;
    long long low, high;
    int inside, known = 1;
    const Stored *kinds = NULL, *times = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OLLiO", &capsule, &low, &high, &inside, &to))
        return NULL;
    Block *block = block_of(capsule, &n);
    if (!block)
        return NULL;
    Buffers buffers = {.held = 0};
    uint8_t *out = hold(&buffers, to, n, 1, 1);
    const int good = out != NULL && block_column(block, OF_KIND, &kinds) && block_column(block, OF_TIME, &times);
    Window window = {low, high, inside != 0};
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        if (!times)
            memset(out, window.inside, (size_t)n);
        else if ((known = kinds ? rows_between(kinds, LOST, LOST, n, out) : 0) > 0) {
            if (times->steps && !times->bitmap)
                steps_within(times, n, &window, out);
            else
                known = times_within(times, n, &window, out);
        }
        Py_END_ALLOW_THREADS
        if (known < 0)
            PyErr_NoMemory();
        if (!known)
            PyErr_SetString(PyExc_ValueError, "a code is beyond its dictionary");
    }
    let_go(&buffers);
    return good && known > 0 ? PyBool_FromLong(window.inside) : NULL;
}

/* -- the part ------------------------------------------------------------------------------------------------ */

PyMethodDef row_functions[] = {
    {"pick_rows", pick_rows, METH_VARARGS, "Rows of a block that an expression selects."},
    {"take_rows", take_rows, METH_VARARGS, "Numbers of rows of a block."},
    {"print_picked", print_picked, METH_VARARGS, "Rows of a block as lines of mmiotrace text."},
    {"rows_within", rows_within, METH_VARARGS, "Rows of a block in a window of times."},
    {NULL, NULL, 0, NULL},
};
