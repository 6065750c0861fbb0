cimport cython

from dbproxy.net.link cimport Link

cdef int PARKED


@cython.final
cdef class Inbox:
    cdef readonly Link link
    cdef readonly bytearray data
    cdef readonly object arrival

    cpdef add(self, bytes data)
    cpdef bint has(self, Py_ssize_t size) except -1
    cpdef bytes cut(self, Py_ssize_t size)
    cpdef bytes take_rest(self)
    cdef free(self)
    cpdef bytes close(self)
