cimport cython

from dbproxy.wire.due cimport Due


@cython.final
cdef class Series:
    cdef public bint begun
    cdef public bint executes
    cdef public bint waits
    cdef public Due bound
    cdef public list restores
    cdef public object restored
    cdef public bytes seen
    cdef public Py_ssize_t seen_at

    cpdef end(self)
