/* mmiotrace text: lines to columns, and columns to lines. A line that is not spelled exactly as the kernel spells it is
 * left to the caller.
 */
#include "text.h"

#include "tally.h"

/* -- reading a line ------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t kind, width;
    int64_t time, map, pid;
    uint64_t addr, value, pc, opcode;
} Line;

/* The value of a lower-case hexadecimal digit, 255 for any other character. */
static uint8_t digit_of[256];

uint8_t decimal_pairs[200], hexadecimal_pairs[512];

static void
make_pairs(void)
{
    static const char digits[] = "0123456789abcdef";
    for (int number = 0; number < 256; number++) {
        hexadecimal_pairs[2 * number] = (uint8_t)digits[number >> 4];
        hexadecimal_pairs[2 * number + 1] = (uint8_t)digits[number & 15];
    }
    for (int number = 0; number < 100; number++) {
        decimal_pairs[2 * number] = (uint8_t)digits[number / 10];
        decimal_pairs[2 * number + 1] = (uint8_t)digits[number % 10];
    }
}

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
 * none, or one that is not spelled canonically (a leading zero, too many digits).
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
pc_and_pid(const uint8_t *at, const uint8_t *end, Line *line)
{
    uint64_t number;
    if (!blank(&at, end) || !hexadecimal(&at, end, &line->pc) || !blank(&at, end) || !decimal(&at, end, 9, &number))
        return NULL;
    line->pid = (int64_t)number;
    at += at < end && *at == '\r';
    return at < end && *at == '\n' ? at + 1 : NULL;
}

static inline const uint8_t *
access_line(const uint8_t *at, const uint8_t *end, Line *line)
{
    if (end - at < 4 || at[1] != ' ' || (uint8_t)(at[2] - '0') > 9 || at[3] != ' ')
        return NULL;
    line->width = (uint8_t)(at[2] - '0');
    at += 4;
    if (!time_and_map(&at, end, &line->time, &line->map) || !hexadecimal(&at, end, &line->addr) || !blank(&at, end) ||
        !hexadecimal(&at, end, &line->value))
        return NULL;
    return pc_and_pid(at, end, line);
}

static inline const uint8_t *
unknown_line(const uint8_t *at, const uint8_t *end, Line *line)
{
    if (end - at < 8 || memcmp(at, "UNKNOWN ", 8))
        return NULL;
    at += 8;
    if (!time_and_map(&at, end, &line->time, &line->map) || !hexadecimal(&at, end, &line->addr) || !blank(&at, end) ||
        end - at < 8 || at[2] != ',' || at[5] != ',')
        return NULL;
    line->opcode = (uint64_t)3 << 56;
    for (int i = 0; i < 3; i++) {
        uint8_t high = digit_of[at[3 * i]], low = digit_of[at[3 * i + 1]];
        if (high == 255 || low == 255)
            return NULL;
        line->opcode |= (uint64_t)(high << 4 | low) << (16 - 8 * i);
    }
    return pc_and_pid(at + 8, end, line);
}

/* Reads the line at `at`, if it is a canonical access, and gives where the next one begins; else NULL. What a line is
 * made of cannot contain a line end, so none is looked for first.
 */
static const uint8_t *
any_line(const uint8_t *at, const uint8_t *end, Line *line)
{
    *line = (Line){.kind = *at == 'R' ? READ : *at == 'W' ? WRITE : *at == 'U' ? UNKNOWN : OTHER};
    if (line->kind == OTHER)
        return NULL;
    return line->kind == UNKNOWN ? unknown_line(at, end, line) : access_line(at, end, line);
}

/* -- reading a line in words of eight characters ------------------------------------------------------------- */

#define EACH(byte) ((uint64_t)(byte) * 0x0101010101010101u)

/* Eight characters, the first one lowest. */
static inline uint64_t
word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Which characters are no lower-case hexadecimal digits: the high bit of each. */
static inline uint64_t
no_digits(uint64_t word)
{
    uint64_t low = word & EACH(0x7f), decimal = (low ^ EACH('0')) + EACH(0x7f - 9), letter = low ^ EACH(0x60);
    return (word | (decimal & ((letter + EACH(0x7f - 6)) | ~(letter + EACH(0x7f))))) & EACH(0x80);
}

/* The number of the `count` hexadecimal digits, 1 to 8, that a word begins with. */
static inline uint64_t
digits_of(uint64_t word, int count)
{
    uint64_t digits = ((word & EACH(0x0f)) + 9 * (word >> 6 & EACH(1))) << (64 - 8 * count);
    digits = (digits << 4 | digits >> 8) & 0x00ff00ff00ff00ffu;
    digits = (digits << 8 | digits >> 16) & 0x0000ffff0000ffffu;
    return (digits << 16 | digits >> 32) & 0xffffffffu;
}

/* The digits of a hexadecimal number, without 0x: what follows them; NULL where they are not spelled canonically. Whether
 * there are eight of them or fewer is no branch: it would often be guessed wrong.
 */
static inline const uint8_t *
quick_digits(const uint8_t *at, uint64_t *found)
{
    uint64_t word = word_at(at), others = no_digits(word);
    int count = others ? __builtin_ctzll(others) >> 3 : 8;
    if (!count || ((count > 1) & (*at == '0')))
        return NULL;
    uint64_t number = digits_of(word, count);
    at += count;
    if (!others & (*at != ' ')) {
        word = word_at(at);
        others = no_digits(word);
        count = others ? __builtin_ctzll(others) >> 3 : 8;
        if (!count)
            return NULL;
        number = number << 4 * count | digits_of(word, count);
        at += count;
    }
    *found = number;
    return at;
}

/* What recurs from line to line, as the text that it was read from: the seconds with the point behind them, and the id
 * of the map with the ` 0x` behind it. The masks say how long each is.
 */
typedef struct {
    uint64_t seconds_text, seconds_mask, map_text, map_mask;
    int64_t seconds, map;
    int seconds_size, map_size;
} Before;

/* Takes a note of the line at `at`, which was read. */
static inline void
remember(Before *before, const uint8_t *at, const Line *line)
{
    const uint8_t *from = at + 4, *to = from;
    while (*to++ != '.')
        ;
    int size = (int)(to - from), map_size = 0;
    const uint8_t *map = to + 7;
    while (map[map_size] != ' ')
        map_size++;
    map_size += 3;
    if (size > 8 || map_size > 8 || line->kind == UNKNOWN)
        return;
    before->seconds_size = size;
    before->seconds_mask = ~(uint64_t)0 >> (64 - 8 * size);
    before->seconds_text = word_at(from) & before->seconds_mask;
    before->seconds = line->time / 1000000000 * 1000000000;
    before->map_size = map_size;
    before->map_mask = ~(uint64_t)0 >> (64 - 8 * map_size);
    before->map_text = word_at(map) & before->map_mask;
    before->map = line->map;
}

/* No line that `quick_line` takes is longer, nor does it look further. */
#define QUICK 96

/* Reads a line of a read or a write that has seconds and map of the one before, and neither pc nor pid; else NULL. There
 * are at least QUICK bytes.
 */
static inline const uint8_t *
quick_line(const uint8_t *at, const Before *before, Line *line)
{
    uint64_t word = word_at(at);
    uint8_t width = (uint8_t)((word >> 16 & 255) - '0');
    /* Which of the two it is cannot be guessed, so there is no branch for it. */
    if (!((*at == 'R') | (*at == 'W')) || (word & 0xff00ff00u) != 0x20002000u || width > 9)
        return NULL;
    line->kind = (uint8_t)(*at == 'W');
    line->width = width;
    if ((word_at(at + 4) & before->seconds_mask) != before->seconds_text)
        return NULL;
    at += 4 + before->seconds_size;
    word = word_at(at);
    uint64_t digits = (word ^ 0x303030303030u) & 0xffffffffffffu;
    if (((digits + 0x767676767676u) | word) & 0x808080808080u || (word >> 48 & 255) != ' ')
        return NULL;
    digits = digits * 10 + (digits >> 8);
    uint64_t micro = (digits & 255) * 10000 + (digits >> 16 & 255) * 100 + (digits >> 32 & 255);
    line->time = before->seconds + (int64_t)(micro * 1000);
    at += 7;
    if ((word_at(at) & before->map_mask) != before->map_text)
        return NULL;
    line->map = before->map;
    at = quick_digits(at + before->map_size, &line->addr);
    if (at == NULL || at[0] != ' ' || at[1] != '0' || at[2] != 'x')
        return NULL;
    at = quick_digits(at + 3, &line->value);
    if (at == NULL)
        return NULL;
    line->pc = line->opcode = 0;
    line->pid = 0;
    /* ` 0x0 0` and LF, or CR LF. */
    word = word_at(at);
    if ((word & 0xffffffffffffffu) == 0x0a302030783020u)
        return at + 7;
    return word == 0x0a0d302030783020u ? at + 8 : NULL;
}

/* As `any_line`, and takes note of what is likely to come again. */
static inline const uint8_t *
one_line(const uint8_t *at, const uint8_t *end, Before *before, Line *line)
{
    if (end - at >= QUICK) {
        const uint8_t *next = quick_line(at, before, line);
        if (next)
            return next;
    }
    Line other;
    const uint8_t *next = any_line(at, end, &other);
    *line = other;
    if (next && end - at >= QUICK)
        remember(before, at, line);
    return next;
}

/* scan_lines(block, at, rows, kind, width, crlf, time, map, pid, start, end, addr, value, pc, opcode)
 * -> (rows filled, where the next line begins)
 *
 * Reads whole lines of `block` from byte `at` on, at most `rows`, each into a row. Where `kind` is OTHER, `start` and `end`
 * say where the text is, its line end left out, and numbers are 0; they are not touched elsewhere. `crlf` says whether
 * the line ends in CR LF.
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
    const uint8_t *first = text + at, *stop = text + buffers.views[0].len;
    Py_BEGIN_ALLOW_THREADS
    Before before = {.seconds_mask = 0, .seconds_text = 1}; /* no text is like it */
    for (; row < rows && first < stop; row++) {
        Line line;
        const uint8_t *next = one_line(first, stop, &before, &line);
        if (next == NULL) {
            next = memchr(first, '\n', (size_t)(stop - first));
            if (next == NULL)
                break;
            next++;
            line = (Line){.kind = OTHER};
            to.start[row] = first - text;
            to.end[row] = next - 1 - (next - 1 > first && next[-2] == '\r') - text;
        }
        to.kind[row] = line.kind;
        to.width[row] = line.width;
        to.crlf[row] = next - 1 > first && next[-2] == '\r';
        to.time[row] = line.time;
        to.map[row] = line.map;
        to.pid[row] = line.pid;
        to.addr[row] = line.addr;
        to.value[row] = line.value;
        to.pc[row] = line.pc;
        to.opcode[row] = line.opcode;
        first = next;
    }
    Py_END_ALLOW_THREADS
    at = first - text;
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
    int64_t *others = text && room >= 0 && room <= PY_SSIZE_T_MAX / 24 ? hold(&buffers, to_others, room * 3, 8, 1) : NULL;
    int64_t *times = others ? hold(&buffers, to_times, 6, 8, 1) : NULL;
    int good = times != NULL;
    if (!good && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "no such room");
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
    int64_t first = 0, last = 0, first_row = -1, last_row = -1, low = INT64_MAX, high = INT64_MIN;
    const uint8_t *begin = text + at, *stop = text + buffers.views[0].len;
    Py_BEGIN_ALLOW_THREADS
    Before before = {.seconds_mask = 0, .seconds_text = 1}; /* no text is like it */
    for (; begin < stop && tally.count < MOST_ENTRIES - 1; row++) {
        Line line;
        const uint8_t *next = one_line(begin, stop, &before, &line);
        if (next == NULL) {
            next = memchr(begin, '\n', (size_t)(stop - begin));
            if (next == NULL || left == room)
                break;
            next++;
            others[3 * left] = row;
            others[3 * left + 1] = begin - text;
            others[3 * left + 2] = next - 1 - (next - 1 > begin && next[-2] == '\r') - text;
            left++;
        } else {
            uint8_t has = HAS_ANY | HAS_ADDR | HAS_MAP | (line.kind == UNKNOWN ? 0 : HAS_WIDTH);
            if (!(good = tally_count(&tally, line.kind, line.addr, line.map, line.width, has)))
                break;
            if (first_row < 0) {
                first_row = row;
                first = line.time;
            }
            last_row = row;
            last = line.time;
            low = line.time < low ? line.time : low;
            high = line.time > high ? line.time : high;
        }
        begin = next;
    }
    Py_END_ALLOW_THREADS
    int64_t told[6] = {first, last, first_row, last_row, low, high};
    memcpy(times, told, sizeof told);
    at = begin - text;
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
put_line(uint8_t *out, const Columns *from, Py_ssize_t row, Seconds *seconds)
{
    if (from->kind[row] != UNKNOWN) {
        out = put_begin(out, from->kind[row], from->width[row]);
        out = put_time(out, from->time[row], seconds);
        return put_end(out, from->map[row], from->addr[row], from->value[row], from->pc[row], from->pid[row]);
    }
    memcpy(out, "UNKNOWN ", 8);
    out = put_time(out + 8, from->time[row], seconds);
    *out++ = ' ';
    out = put_decimal(out, (uint64_t)from->map[row]);
    *out++ = ' ';
    out = put_hexadecimal(out, from->addr[row]);
    for (int shift = 16; shift >= 0; shift -= 8) {
        *out++ = shift == 16 ? ' ' : ',';
        memcpy(out, hexadecimal_pairs + 2 * (from->opcode[row] >> shift & 255), 2);
        out += 2;
    }
    return put_last(out, from->pc[row], from->pid[row]);
}

uint8_t *
put_lines(uint8_t *out, const uint8_t *end, const Columns *from, Py_ssize_t low, Py_ssize_t high)
{
    Seconds seconds = {.number = UINT64_MAX};
    for (Py_ssize_t row = low; row < high; row++) {
        if (end - out < LINE_MOST)
            return NULL;
        out = put_line(out, from, row, &seconds);
    }
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
    Py_ssize_t room = (high - low) * LINE_MOST;
    uint8_t *text = hold(&buffers, out, room, 1, 1), *end = text;
    int good = text != NULL;
    for (int i = 0; good && i < 9; i++)
        good = (memory[i] = hold(&buffers, columns[i], high, i < 2 ? 1 : 8, 0)) != NULL;
    if (good) {
        const Columns from = {.kind = memory[0], .width = memory[1], .time = memory[2], .map = memory[3],
                              .pid = memory[4],  .addr = memory[5],  .value = memory[6], .pc = memory[7],
                              .opcode = memory[8]};
        Py_BEGIN_ALLOW_THREADS
        end = put_lines(end, text + room, &from, low, high);
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
    make_pairs();
    return PyModule_AddIntConstant(module, "LINE_MOST", LINE_MOST);
}
