/* The compiled engine: the hot loops of mmiotools. */
#include "speed.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Raised whenever a function is added or changed: one that was built for other sources is not used. */
#define VERSION 19

/* set_malloc(parameter, size): what mallopt does where the C library is glibc, else nothing; see trace/memory.py */
static PyObject *
set_malloc(PyObject *self, PyObject *args)
{
    int parameter, size;
    (void)self;
    if (!PyArg_ParseTuple(args, "ii", &parameter, &size))
        return NULL;
#ifdef __GLIBC__
    mallopt(parameter, size);
#endif
    return Py_NewRef(Py_None);
}

static PyMethodDef memory_functions[] = {
    {"set_malloc", set_malloc, METH_VARARGS, "Sets a parameter of the C library's memory."},
    {NULL, NULL, 0, NULL},
};

static int
prepare(PyObject *module)
{
    if (PyModule_AddFunctions(module, memory_functions) || PyModule_AddFunctions(module, text_functions) ||
        PyModule_AddFunctions(module, column_functions) ||
        PyModule_AddFunctions(module, row_functions) || PyModule_AddFunctions(module, tally_functions) ||
        PyModule_AddFunctions(module, accesses_functions) || PyModule_AddFunctions(module, taking_functions) || PyModule_AddFunctions(module, aligning_functions) ||
        PyModule_AddFunctions(module, moving_functions) || PyModule_AddFunctions(module, spelling_functions) ||
        PyModule_AddFunctions(module, block_functions) || PyModule_AddFunctions(module, block_tally_functions) ||
        PyModule_AddFunctions(module, sharing_functions) || PyModule_AddFunctions(module, unpacking_functions) ||
        PyModule_AddFunctions(module, alike_functions))
        return -1;
    return PyModule_AddIntConstant(module, "VERSION", VERSION) || prepare_text(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
    {0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_speed",
    .m_doc = "The hot loops, compiled.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__speed(void)
{
    return PyModuleDef_Init(&module);
}
