/* Accesses as lines of text. The twin is `access_text` in diff/views/base.py. */
#include "text.h"

/* What a line takes beside the name of a region: a sign, an operation, a width, two numbers with 0x, what stands between
 * these, and the line end.
 */
#define SPELLED_MOST 64

typedef struct {
    Column op, width, region, offset, value, has_value;
} Spelled;

/* The names of regions: each from the end of the one before to its own. */
typedef struct {
    const char *text;
    const int64_t *ends;
    int64_t count;
} Names;

/* The line of a row; NULL where it cannot be. */
static uint8_t *
put_access(uint8_t *to, char sign, const Spelled *from, int64_t row, const Names *names)
{
    const uint8_t op = ITEM(uint8_t, from->op, row);
    const int16_t width = ITEM(int16_t, from->width, row);
    const int32_t region = ITEM(int32_t, from->region, row);
    if (op > UNKNOWN || region >= names->count)
        return NULL;
    *to++ = (uint8_t)sign;
    *to++ = (uint8_t)"RWU"[op];
    *to++ = ' ';
    if (width < 0)
        *to++ = '?';
    else
        to = put_decimal(to, (uint64_t)width);
    *to++ = ' ';
    if (region >= 0) {
        const int64_t start = region ? names->ends[region - 1] : 0, size = names->ends[region] - start;
        memcpy(to, names->text + start, (size_t)size);
        to += size;
        *to++ = '+';
    }
    to = put_hexadecimal(to, ITEM(uint64_t, from->offset, row));
    *to++ = ' ';
    if (ITEM(uint8_t, from->has_value, row))
        to = put_hexadecimal(to, ITEM(uint64_t, from->value, row));
    else
        *to++ = '?';
    *to++ = '\n';
    return to;
}

/* spell_accesses(spans, (start, stop, sign), rows, columns, names, ends, out) -> bytes written
 *
 * The lines of rows start[i]..stop[i]-1 of so many `rows`, each with the sign of its span in front: `R 4 NAME+0x10 0x1`.
 *
 * columns  op, width, region, offset, value, has_value
 * names    of the regions, one behind the other, and where each ends
 * out      has room for SPELLED_MOST bytes a line, and the longest of the names
 */
static PyObject *
spell_accesses(PyObject *self, PyObject *args)
{
    static const Py_ssize_t sizes[6] = {1, 2, 4, 8, 8, 1};
    PyObject *span[3], *in[6], *names_object, *ends_object, *out_object;
    Py_ssize_t spans, rows, written = 0;
    Spelled from;
    Names names;
    Column *const columns[6] = {&from.op, &from.width, &from.region, &from.offset, &from.value, &from.has_value};
    const char *problem = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "n(OOO)n(OOOOOO)OOO", &spans, &span[0], &span[1], &span[2], &rows, &in[0], &in[1], &in[2],
                          &in[3], &in[4], &in[5], &names_object, &ends_object, &out_object))
        return NULL;
    Buffers buffers = {.held = 0};
    const int64_t *start = hold(&buffers, span[0], spans, 8, 0);
    const int64_t *stop = start == NULL ? NULL : hold(&buffers, span[1], spans, 8, 0);
    const char *sign = stop == NULL ? NULL : hold(&buffers, span[2], spans, 1, 0);
    names.text = sign == NULL ? NULL : hold(&buffers, names_object, 0, 1, 0);
    const int64_t length = names.text == NULL ? 0 : buffers.views[buffers.held - 1].len;
    names.ends = names.text == NULL ? NULL : hold(&buffers, ends_object, 0, 8, 0);
    names.count = names.ends == NULL ? 0 : buffers.views[buffers.held - 1].len / 8;
    uint8_t *out = names.ends == NULL ? NULL : hold(&buffers, out_object, 0, 1, 1);
    int64_t room = out == NULL ? 0 : buffers.views[buffers.held - 1].len;
    int good = out != NULL;
    for (int i = 0; good && i < 6; i++)
        good = hold_column(&buffers, in[i], rows, sizes[i], columns[i]);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        int64_t longest = 0, before = 0, lines = 0;
        for (int64_t i = 0; problem == NULL && i < names.count; i++) {
            if (names.ends[i] < before || names.ends[i] > length)
                problem = "a name lies outside";
            longest = names.ends[i] - before > longest ? names.ends[i] - before : longest;
            before = names.ends[i];
        }
        for (Py_ssize_t i = 0; problem == NULL && i < spans; i++) {
            if (start[i] < 0 || stop[i] < start[i] || stop[i] > rows)
                problem = "a row lies outside";
            else if (stop[i] - start[i] > room / (SPELLED_MOST + longest) - lines)
                problem = "no room for so many lines";
            lines += stop[i] - start[i];
        }
        uint8_t *to = out;
        for (Py_ssize_t i = 0; problem == NULL && i < spans; i++)
            for (int64_t row = start[i]; to != NULL && row < stop[i]; row++)
                to = put_access(to, sign[i], &from, row, &names);
        if (to == NULL)
            problem = "no access, or none of these regions";
        else
            written = to - out;
        Py_END_ALLOW_THREADS
        if (problem != NULL)
            PyErr_SetString(PyExc_ValueError, problem);
    }
    let_go(&buffers);
    return good && problem == NULL ? PyLong_FromSsize_t(written) : NULL;
}

PyMethodDef spelling_functions[] = {
    {"spell_accesses", spell_accesses, METH_VARARGS, "Accesses as lines of text."},
    {NULL, NULL, 0, NULL},
};
