cimport cython


@cython.final
cdef class Batch:
    cdef readonly bytes data
    cdef readonly tuple reads
    cdef readonly int answered

    cpdef begin(self, tuple reads, bytes data, int answered)
    cpdef add(self, tuple reads, bytes data)
    cpdef cut(self, Py_ssize_t size)
    cpdef clear(self)
