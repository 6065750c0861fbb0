cimport cython

from dbproxy.cache.entry cimport Entry, Moment
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Fill:
    cdef readonly bytes key
    cdef readonly Shape shape
    cdef readonly Moment moment
    cdef readonly Py_ssize_t limit
    cdef readonly object done
    cdef readonly Entry expected
    cdef readonly list pieces
    cdef readonly Py_ssize_t size
    cdef public object origin
    cdef public object landed
    cdef readonly bint over
    cdef readonly bint fresh
    cdef readonly double cost
    cdef readonly double ended_at

    cpdef begin(self, bint fresh)
    cpdef hear(self, bytes data)
    cpdef end(self, double cost, double now)
    cpdef close(self, bint answered=*)
    cpdef bytes take(self)
