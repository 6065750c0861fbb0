cimport cython

from dbproxy.pool.request cimport Request

cdef double AGED


@cython.final
cdef class Said:
    cdef readonly bytes chunk
    cdef readonly Py_ssize_t at
    cdef readonly bytes name
    cdef public double since
    cdef public bint keeps
    cdef public bytes bind

    cpdef parsed(self, bytes chunk, Py_ssize_t at, bytes name)
    cpdef bound(self, bytes name, bytes body)
    cpdef tell(self, Request request, bint executes)
