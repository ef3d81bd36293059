/* The compiled engine: the hot loops of mmiotools. */
#include "speed.h"

static int
prepare(PyObject *module)
{
    if (PyModule_AddFunctions(module, text_functions) || PyModule_AddFunctions(module, accesses_functions) ||
        PyModule_AddFunctions(module, aligning_functions))
        return -1;
    return prepare_text(module);
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
