/* What the parts of the compiled engine share.
 *
 * Built for the limited API of Python 3.11, where a compiler is there; everything works without it. Each function does
 * exactly what its numpy twin does, checks every length that it is given, and lets other threads run meanwhile.
 */
#ifndef MMIOTOOLS_SPEED_H
#define MMIOTOOLS_SPEED_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* No block of a native file has more rows. */
#define MOST_ROWS 65536

/* Kinds of events, as in events.py; and what stands for a line that was not taken. */
enum { READ = 0, WRITE = 1, UNKNOWN = 2, DEVICE = 8, OTHER = 255 };

/* -- buffers ------------------------------------------------------------------------------------------------- */

#define MOST_BUFFERS 256

typedef struct {
    Py_buffer views[MOST_BUFFERS];
    int held;
} Buffers;

static inline void
let_go(Buffers *buffers)
{
    while (buffers->held)
        PyBuffer_Release(&buffers->views[--buffers->held]);
}

/* The memory of an object that has room for `count` items of `size` bytes; NULL with an exception set. */
static inline void *
hold(Buffers *buffers, PyObject *object, Py_ssize_t count, Py_ssize_t size, int writable)
{
    Py_buffer *view = &buffers->views[buffers->held];
    if (buffers->held == MOST_BUFFERS) {
        PyErr_SetString(PyExc_SystemError, "too many buffers");
        return NULL;
    }
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE))
        return NULL;
    buffers->held++;
    if (count < 0 || count > PY_SSIZE_T_MAX / size || view->len < count * size) {
        PyErr_SetString(PyExc_ValueError, "a buffer is too small");
        return NULL;
    }
    /* That of an empty one may lie anywhere. */
    if (view->len && (uintptr_t)view->buf % (uintptr_t)size) {
        PyErr_SetString(PyExc_ValueError, "a buffer is not aligned");
        return NULL;
    }
    return view->buf;
}

/* A column that is only read: item i is `step` * i bytes behind the first. */
typedef struct {
    const uint8_t *first;
    Py_ssize_t step;
} Column;

/* The column of an object that has `count` items of `size` bytes, or one that stands for all; 0 with an exception. */
static inline int
hold_column(Buffers *buffers, PyObject *object, Py_ssize_t count, Py_ssize_t size, Column *column)
{
    column->first = hold(buffers, object, 0, size, 0);
    if (column->first == NULL)
        return 0;
    Py_ssize_t length = buffers->views[buffers->held - 1].len;
    column->step = length == size ? 0 : size;
    if (length == size || (count >= 0 && count <= length / size))
        return 1;
    PyErr_SetString(PyExc_ValueError, "a column is too short");
    return 0;
}

/* An odd number to hash with, another in each process, so that who makes a trace does not know what falls into the same slots:
 * the highest bits of what was multiplied with it.
 */
static inline uint64_t
salted(uint64_t odd)
{
    static const char here;
    uint64_t salt = (uint64_t)(uintptr_t)&here >> 12 ^ (uint64_t)(uintptr_t)&odd << 24;
    return odd ^ (salt * odd & ~(uint64_t)1);
}

/* Three of them. */
static inline void
salt(uint64_t odd[3])
{
    odd[0] = salted(0x9E3779B97F4A7C15u);
    odd[1] = salted(0xC2B2AE3D27D4EB4Fu);
    odd[2] = salted(0xD6E8FEB86659FD93u);
}

/* What several numbers are hashed with, one after the other: of a sum of products, numbers that differ in their highest bits
 * alone would have few.
 */
static inline uint64_t
mixed(uint64_t number, uint64_t odd)
{
    number *= odd;
    return number ^ number >> 32;
}

#define ITEM(type, column, row) (*(const type *)((column).first + (column).step * (row)))

/* -- the parts: functions of each, and what it does when the module is made --------------------------------- */

extern PyMethodDef text_functions[], column_functions[], row_functions[], tally_functions[], accesses_functions[], taking_functions[],
    aligning_functions[], moving_functions[], spelling_functions[], block_functions[], block_tally_functions[],
    sharing_functions[], unpacking_functions[], alike_functions[];
int prepare_text(PyObject *module);

#endif
