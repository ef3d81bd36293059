/* MessagePack objects as Python has them. msgpack gives the same, and takes what this refuses; it is not imported for less. */
#include "speed.h"

#include "msgpack.h"

/* Lists and maps in each other. */
#define DEEPEST 32

static PyObject *take_object(Cursor *from, int depth);

static PyObject *
take_items_of_list(Cursor *from, int depth)
{
    uint64_t items;
    /* Each takes a byte at least. */
    if (!take_list(from, &items) || items > from->length)
        return NULL;
    PyObject *list = PyList_New((Py_ssize_t)items);
    for (uint64_t i = 0; list && i < items; i++) {
        PyObject *item = take_object(from, depth + 1);
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *
take_pairs_of_map(Cursor *from, int depth)
{
    uint64_t pairs;
    if (!take_map(from, &pairs) || pairs > from->length / 2)
        return NULL;
    PyObject *map = PyDict_New();
    while (map && pairs--) {
        PyObject *key = take_object(from, depth + 1), *item = key ? take_object(from, depth + 1) : NULL;
        if (!item || PyDict_SetItem(map, key, item))
            Py_CLEAR(map);
        Py_XDECREF(key);
        Py_XDECREF(item);
    }
    return map;
}

/* Of up to 2^32 - 1 bytes of UTF-8. */
static PyObject *
take_text(Cursor *from)
{
    uint8_t mark;
    uint64_t length;
    Span text;
    if (!take_byte(from, &mark))
        return NULL;
    if (mark < 0xc0)
        length = mark & 0x1f;
    else if (!take_big_endian(from, 1 << (mark - 0xd9), &length))
        return NULL;
    return take_bytes(from, length, &text) ? PyUnicode_DecodeUTF8((const char *)text.start, (Py_ssize_t)text.length, NULL)
                                           : NULL;
}

/* The next object; NULL where it is none, or another of those that are refused, perhaps with an exception set. */
static PyObject *
take_object(Cursor *from, int depth)
{
    Number number;
    Span bytes;
    if (!from->length || depth > DEEPEST)
        return NULL;
    uint8_t mark = *from->start;
    if (mark < 0x80 || mark >= 0xe0 || (mark >= 0xcc && mark <= 0xd3)) {
        if (!take_number(from, &number))
            return NULL;
        return number.negative ? PyLong_FromLongLong((int64_t)number.number) : PyLong_FromUnsignedLongLong(number.number);
    }
    if (is_list(from))
        return take_items_of_list(from, depth);
    if (mark < 0x90 || mark == 0xde || mark == 0xdf)
        return take_pairs_of_map(from, depth);
    if ((mark >= 0xa0 && mark < 0xc0) || (mark >= 0xd9 && mark <= 0xdb))
        return take_text(from);
    if (mark >= 0xc4 && mark <= 0xc6)
        return take_binary(from, &bytes) ? PyBytes_FromStringAndSize((const char *)bytes.start, (Py_ssize_t)bytes.length)
                                         : NULL;
    if (mark != 0xc0 && mark != 0xc2 && mark != 0xc3)
        return NULL;
    from->start++;
    from->length--;
    return Py_NewRef(mark == 0xc0 ? Py_None : mark == 0xc3 ? Py_True : Py_False);
}

/* unpack(data) -> the object that `data` is; NotImplemented where it is none, has anything behind it, or is out of the ordinary */
static PyObject *
unpack(PyObject *self, PyObject *data)
{
    (void)self;
    Buffers buffers = {.held = 0};
    const uint8_t *bytes = hold(&buffers, data, 0, 1, 0);
    if (!bytes)
        return NULL;
    Cursor from = {bytes, (size_t)buffers.views[0].len};
    PyObject *object = take_object(&from, 0);
    if (object && from.length)
        Py_CLEAR(object);
    let_go(&buffers);
    if (object || (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_MemoryError)))
        return object;
    PyErr_Clear();
    return Py_NewRef(Py_NotImplemented);
}

PyMethodDef unpacking_functions[] = {
    {"unpack", unpack, METH_O, "A MessagePack object."},
    {NULL, NULL, 0, NULL},
};
