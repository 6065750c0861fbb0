cimport cython

from dbproxy.wire.extended cimport cut, join


@cython.final
cdef class Splice:
    cdef readonly bytes chunk
    cdef readonly Py_ssize_t position
    cdef public bint dropping
    cdef list pieces

    cpdef begin(self, bytes chunk, Py_ssize_t position=*)
    cpdef list upto(self, Py_ssize_t at)
    cpdef keep(self, Py_ssize_t at)
    cpdef drop(self, Py_ssize_t at)
    cpdef skip(self, Py_ssize_t at, Py_ssize_t stop)
    cpdef insert(self, Py_ssize_t at, bytes data)
    cpdef replace(self, Py_ssize_t at, Py_ssize_t stop, bytes data)
    cpdef forget(self, Py_ssize_t at)
    cpdef bint is_left(self, Py_ssize_t end)
    @cython.locals(pieces=list, position=Py_ssize_t)
    cpdef bytes take(self, Py_ssize_t end)
