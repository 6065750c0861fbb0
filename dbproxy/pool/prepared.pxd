cimport cython

from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Statement:
    cdef readonly bytes body
    cdef public bytes name
    cdef public bint parsed
    cdef public Py_ssize_t columns
    cdef public Py_ssize_t full
    cdef readonly Shape shape
    cdef readonly object scope
    cdef public bint shared
    cdef public Statement twin
    cdef readonly object effects
