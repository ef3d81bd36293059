/* mmiotrace text: lines to columns, and columns to lines. A line that is not spelled exactly as the kernel spells it is
 * left to the caller.
 */
#include "text.h"

#include "tally.h"

/* -- reading a line ------------------------------------------------------------------------------------------ */

/* The value of a lower-case hexadecimal digit, 255 for any other character. */
static uint8_t digit_of[256];

static void
make_digits(void)
{
    memset(digit_of, 255, sizeof digit_of);
    for (int i = 0; i < 10; i++)
        digit_of['0' + i] = (uint8_t)i;
    for (int i = 0; i < 6; i++)
        digit_of['a' + i] = (uint8_t)(10 + i);
}

/* Each of these reads a number at *at, which ends at `end` at the latest, and goes on behind it; 0 where there is
 * none, or one that is not spelled canonically (a leading zero, too many digits). Digit by digit: eight at once in one
 * word were tried, and are slower on numbers as short as these.
 */

static inline int
decimal(const uint8_t **at, const uint8_t *end, int most, uint64_t *found)
{
    const uint8_t *p = *at;
    uint64_t number = 0;
    int digits = 0;
    while (p < end && (uint8_t)(*p - '0') < 10) {
        if (++digits > most)
            return 0;
        number = number * 10 + (uint64_t)(*p++ - '0');
    }
    if (!digits || (digits > 1 && **at == '0'))
        return 0;
    *at = p;
    *found = number;
    return 1;
}

static inline int
hexadecimal(const uint8_t **at, const uint8_t *end, uint64_t *found)
{
    const uint8_t *p = *at;
    if (end - p < 3 || p[0] != '0' || p[1] != 'x')
        return 0;
    p += 2;
    const uint8_t *first = p;
    uint64_t number = 0;
    uint8_t digit;
    while (p < end && (digit = digit_of[*p]) != 255) {
        if (p - first == 16)
            return 0;
        number = number << 4 | digit;
        p++;
    }
    if (p == first || (p - first > 1 && *first == '0'))
        return 0;
    *at = p;
    *found = number;
    return 1;
}

static inline int
blank(const uint8_t **at, const uint8_t *end)
{
    return *at < end && *(*at)++ == ' ';
}

/* `seconds.microseconds id `: nanoseconds and the id of a map. */
static inline int
time_and_map(const uint8_t **at, const uint8_t *end, int64_t *time, int64_t *map)
{
    uint64_t seconds, id, micro = 0;
    if (!decimal(at, end, 9, &seconds) || end - *at < 7 || *(*at)++ != '.')
        return 0;
    for (int i = 0; i < 6; i++) {
        uint8_t digit = (uint8_t)(*(*at)++ - '0');
        if (digit > 9)
            return 0;
        micro = micro * 10 + digit;
    }
    if (!blank(at, end) || !decimal(at, end, 9, &id) || !blank(at, end))
        return 0;
    *time = (int64_t)(seconds * 1000000000u + micro * 1000u);
    *map = (int64_t)id;
    return 1;
}

/* ` 0x0 0` and the end of the line, LF or CR LF: what follows it; NULL where there is something else. */
static inline const uint8_t *
pc_and_pid(const uint8_t *at, const uint8_t *end, uint64_t *pc, int64_t *pid)
{
    uint64_t number;
    if (end - at > 6 && !memcmp(at, " 0x0 0", 6)) {
        *pc = number = 0;
        at += 6;
    } else if (!blank(&at, end) || !hexadecimal(&at, end, pc) || !blank(&at, end) || !decimal(&at, end, 9, &number))
        return NULL;
    *pid = (int64_t)number;
    at += at < end && *at == '\r';
    return at < end && *at == '\n' ? at + 1 : NULL;
}

static inline const uint8_t *
access_line(const uint8_t *at, const uint8_t *end, const Columns *to, Py_ssize_t row)
{
    if (end - at < 4 || at[1] != ' ' || (uint8_t)(at[2] - '0') > 9 || at[3] != ' ')
        return NULL;
    to->width[row] = (uint8_t)(at[2] - '0');
    at += 4;
    if (!time_and_map(&at, end, &to->time[row], &to->map[row]) || !hexadecimal(&at, end, &to->addr[row]) ||
        !blank(&at, end) || !hexadecimal(&at, end, &to->value[row]))
        return NULL;
    to->opcode[row] = 0;
    return pc_and_pid(at, end, &to->pc[row], &to->pid[row]);
}

static inline const uint8_t *
unknown_line(const uint8_t *at, const uint8_t *end, const Columns *to, Py_ssize_t row)
{
    uint64_t opcode = (uint64_t)3 << 56;
    if (end - at < 8 || memcmp(at, "UNKNOWN ", 8))
        return NULL;
    at += 8;
    if (!time_and_map(&at, end, &to->time[row], &to->map[row]) || !hexadecimal(&at, end, &to->addr[row]) ||
        !blank(&at, end) || end - at < 8 || at[2] != ',' || at[5] != ',')
        return NULL;
    for (int i = 0; i < 3; i++) {
        uint8_t high = digit_of[at[3 * i]], low = digit_of[at[3 * i + 1]];
        if (high == 255 || low == 255)
            return NULL;
        opcode |= (uint64_t)(high << 4 | low) << (16 - 8 * i);
    }
    to->opcode[row] = opcode;
    to->width[row] = 0;
    to->value[row] = 0;
    return pc_and_pid(at + 8, end, &to->pc[row], &to->pid[row]);
}

/* Reads the line at `at` into a row, if it is a canonical access: its kind, and where the next line begins in *next.
 * Else OTHER. What a line is made of cannot contain a line end, so none is looked for first.
 */
static inline uint8_t
one_line(const uint8_t *at, const uint8_t *end, const Columns *to, Py_ssize_t row, const uint8_t **next)
{
    uint8_t kind = *at == 'R' ? READ : *at == 'W' ? WRITE : *at == 'U' ? UNKNOWN : OTHER;
    if (kind == OTHER)
        return OTHER;
    *next = kind == UNKNOWN ? unknown_line(at, end, to, row) : access_line(at, end, to, row);
    return *next ? kind : OTHER;
}

/* scan_lines(block, at, rows, kind, width, crlf, time, map, pid, start, end, addr, value, pc, opcode)
 * -> (rows filled, where the next line begins)
 *
 * Reads whole lines of `block` from byte `at` on, at most `rows`, each into a row. `start` and `end` say where the text
 * of each is, its line end left out; `crlf` whether that is CR LF; the rest holds only where `kind` is no OTHER.
 */
static PyObject *
scan_lines(PyObject *self, PyObject *args)
{
    PyObject *block, *columns[12];
    Py_ssize_t at, rows, row = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOOOOOOOOOOOO", &block, &at, &rows, &columns[0], &columns[1], &columns[2],
                          &columns[3], &columns[4], &columns[5], &columns[6], &columns[7], &columns[8], &columns[9],
                          &columns[10], &columns[11]))
        return NULL;
    Buffers buffers = {.held = 0};
    void *memory[12];
    const uint8_t *text = hold(&buffers, block, 0, 1, 0);
    int good = text != NULL;
    for (int i = 0; good && i < 12; i++)
        good = (memory[i] = hold(&buffers, columns[i], rows, i < 3 ? 1 : 8, 1)) != NULL;
    if (good && (at < 0 || at > buffers.views[0].len)) {
        PyErr_SetString(PyExc_ValueError, "outside the block");
        good = 0;
    }
    if (!good) {
        let_go(&buffers);
        return NULL;
    }
    const Columns to = {memory[0], memory[1], memory[2], memory[3], memory[4],  memory[5],
                        memory[6], memory[7], memory[8], memory[9], memory[10], memory[11]};
    const uint8_t *line = text + at, *stop = text + buffers.views[0].len;
    Py_BEGIN_ALLOW_THREADS
    for (; row < rows && line < stop; row++) {
        const uint8_t *next = NULL;
        uint8_t kind = one_line(line, stop, &to, row, &next);
        if (kind == OTHER) {
            next = memchr(line, '\n', (size_t)(stop - line));
            if (next == NULL)
                break;
            next++;
        }
        const uint8_t *end = next - 1;
        to.kind[row] = kind;
        to.crlf[row] = end > line && end[-1] == '\r';
        end -= to.crlf[row];
        to.start[row] = line - text;
        to.end[row] = end - text;
        line = next;
    }
    Py_END_ALLOW_THREADS
    at = line - text;
    let_go(&buffers);
    return Py_BuildValue("nn", row, at);
}

/* -- counting lines ------------------------------------------------------------------------------------------ */

/* tally_lines(block, at, room, others, times)
 * -> (lines read, where the next line begins, lines that were not taken, entries as bytes)
 *
 * Reads whole lines of `block` from byte `at` on, and counts the accesses in them. Of each line that is none, or is not
 * spelled canonically, three numbers go to `others` (room for 3 * room): its line from 0, and the first byte and the
 * end of its text, without CR. `times` are six numbers: first and last time and the lines they are in, least and
 * greatest; lines -1 where no access was counted. Ends early where there is no room left, or too much to count.
 */
static PyObject *
tally_lines(PyObject *self, PyObject *args)
{
    PyObject *block, *to_others, *to_times;
    Py_ssize_t at, room, row = 0, left = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOO", &block, &at, &room, &to_others, &to_times))
        return NULL;
    Buffers buffers = {.held = 0};
    const uint8_t *text = hold(&buffers, block, 0, 1, 0);
    int64_t *others = text && room <= PY_SSIZE_T_MAX / 24 ? hold(&buffers, to_others, room * 3, 8, 1) : NULL;
    int64_t *times = others ? hold(&buffers, to_times, 6, 8, 1) : NULL;
    int good = times != NULL;
    if (!good && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "too much room");
    if (good && (at < 0 || at > buffers.views[0].len)) {
        PyErr_SetString(PyExc_ValueError, "outside the block");
        good = 0;
    }
    Tally tally = {.count = 0};
    if (good && !(good = tally_start(&tally)))
        PyErr_NoMemory();
    if (!good) {
        let_go(&buffers);
        return NULL;
    }
    uint8_t kind, width, crlf;
    int64_t time = 0, map = 0, pid, first = 0, last = 0, first_row = -1, last_row = -1, low = INT64_MAX, high = INT64_MIN;
    uint64_t addr = 0, value, pc, opcode;
    const Columns one = {&kind, &width, &crlf, &time, &map, &pid, NULL, NULL, &addr, &value, &pc, &opcode};
    const uint8_t *line = text + at, *stop = text + buffers.views[0].len;
    Py_BEGIN_ALLOW_THREADS
    for (; line < stop && tally.count < MOST_ENTRIES - 1; row++) {
        const uint8_t *next = NULL;
        uint8_t found = one_line(line, stop, &one, 0, &next);
        if (found == OTHER) {
            next = memchr(line, '\n', (size_t)(stop - line));
            if (next == NULL || left == room)
                break;
            next++;
            others[3 * left] = row;
            others[3 * left + 1] = line - text;
            others[3 * left + 2] = next - 1 - (next - 1 > line && next[-2] == '\r') - text;
            left++;
        } else {
            uint8_t has = found == UNKNOWN ? HAS_ANY | HAS_ADDR | HAS_MAP : HAS_ANY | HAS_ADDR | HAS_MAP | HAS_WIDTH;
            if (!(good = tally_count(&tally, found, addr, map, width, has)))
                break;
            if (first_row < 0) {
                first_row = row;
                first = time;
            }
            last_row = row;
            last = time;
            low = time < low ? time : low;
            high = time > high ? time : high;
        }
        line = next;
    }
    Py_END_ALLOW_THREADS
    int64_t told[6] = {first, last, first_row, last_row, low, high};
    memcpy(times, told, sizeof told);
    at = line - text;
    let_go(&buffers);
    if (!good) {
        free(tally.entries);
        return PyErr_NoMemory();
    }
    PyObject *entries = tally_finish(&tally);
    return entries ? Py_BuildValue("nnnN", row, at, left, entries) : NULL;
}

/* -- printing lines ------------------------------------------------------------------------------------------ */

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

static inline uint8_t *
put_line(uint8_t *out, const Columns *from, Py_ssize_t row)
{
    uint64_t micro = (uint64_t)from->time[row] / 1000;
    uint32_t fraction = (uint32_t)(micro % 1000000);
    if (from->kind[row] == UNKNOWN) {
        memcpy(out, "UNKNOWN ", 8);
        out += 8;
    } else {
        *out++ = from->kind[row] == WRITE ? 'W' : 'R';
        *out++ = ' ';
        out = put_decimal(out, from->width[row]);
        *out++ = ' ';
    }
    out = put_decimal(out, micro / 1000000);
    *out++ = '.';
    for (int i = 5; i >= 0; i--, fraction /= 10)
        out[i] = (uint8_t)('0' + fraction % 10);
    out += 6;
    *out++ = ' ';
    out = put_decimal(out, (uint64_t)from->map[row]);
    *out++ = ' ';
    out = put_hexadecimal(out, from->addr[row]);
    *out++ = ' ';
    if (from->kind[row] == UNKNOWN) {
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint8_t byte = (uint8_t)(from->opcode[row] >> shift);
            *out++ = (uint8_t)"0123456789abcdef"[byte >> 4];
            *out++ = (uint8_t)"0123456789abcdef"[byte & 15];
            *out++ = ',';
        }
        out--;
    } else
        out = put_hexadecimal(out, from->value[row]);
    *out++ = ' ';
    out = put_hexadecimal(out, from->pc[row]);
    *out++ = ' ';
    out = put_decimal(out, (uint64_t)from->pid[row]);
    *out++ = '\n';
    return out;
}

uint8_t *
put_lines(uint8_t *out, const Columns *from, Py_ssize_t low, Py_ssize_t high)
{
    for (Py_ssize_t row = low; row < high; row++)
        out = put_line(out, from, row);
    return out;
}

/* print_rows(out, low, high, kind, width, time, map, pid, addr, value, pc, opcode) -> bytes written
 *
 * Prints rows low..high-1 as lines. `out` has room for LINE_MOST bytes a row; times, map ids and pids are not negative.
 */
static PyObject *
print_rows(PyObject *self, PyObject *args)
{
    PyObject *out, *columns[9];
    Py_ssize_t low, high;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOOOOOOOOO", &out, &low, &high, &columns[0], &columns[1], &columns[2], &columns[3],
                          &columns[4], &columns[5], &columns[6], &columns[7], &columns[8]))
        return NULL;
    if (low < 0 || high < low || high > PY_SSIZE_T_MAX / LINE_MOST) {
        PyErr_SetString(PyExc_ValueError, "no such rows");
        return NULL;
    }
    Buffers buffers = {.held = 0};
    void *memory[9];
    uint8_t *text = hold(&buffers, out, (high - low) * LINE_MOST, 1, 1), *end = text;
    int good = text != NULL;
    for (int i = 0; good && i < 9; i++)
        good = (memory[i] = hold(&buffers, columns[i], high, i < 2 ? 1 : 8, 0)) != NULL;
    if (good) {
        const Columns from = {.kind = memory[0], .width = memory[1], .time = memory[2], .map = memory[3],
                              .pid = memory[4],  .addr = memory[5],  .value = memory[6], .pc = memory[7],
                              .opcode = memory[8]};
        Py_BEGIN_ALLOW_THREADS
        end = put_lines(end, &from, low, high);
        Py_END_ALLOW_THREADS
    }
    Py_ssize_t size = good ? end - text : 0;
    let_go(&buffers);
    return good ? PyLong_FromSsize_t(size) : NULL;
}

/* -- the part ------------------------------------------------------------------------------------------------ */

PyMethodDef text_functions[] = {
    {"scan_lines", scan_lines, METH_VARARGS, "Lines of mmiotrace text to columns."},
    {"tally_lines", tally_lines, METH_VARARGS, "Counts of the accesses in lines of mmiotrace text."},
    {"print_rows", print_rows, METH_VARARGS, "Columns to lines of mmiotrace text."},
    {NULL, NULL, 0, NULL},
};

int
prepare_text(PyObject *module)
{
    make_digits();
    return PyModule_AddIntConstant(module, "LINE_MOST", LINE_MOST);
}
