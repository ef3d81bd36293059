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

/* Kinds of events, as in events.py; and what stands for a line that was not taken. */
enum { READ = 0, WRITE = 1, UNKNOWN = 2, OTHER = 255 };

/* -- buffers ------------------------------------------------------------------------------------------------- */

#define MOST_BUFFERS 16

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
    if ((uintptr_t)view->buf % (uintptr_t)size) {
        PyErr_SetString(PyExc_ValueError, "a buffer is not aligned");
        return NULL;
    }
    return view->buf;
}

/* -- the parts: functions of each, and what it does when the module is made --------------------------------- */

extern PyMethodDef text_functions[], column_functions[], tally_functions[];
int prepare_text(PyObject *module);

#endif
