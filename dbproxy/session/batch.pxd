cimport cython


@cython.final
cdef class Batch:
    cdef readonly bytes data
    cdef readonly tuple reads
    cdef readonly int answered

    cpdef begin(self, tuple reads, bytes data, int answered)
    cpdef add(self, tuple reads, bytes data)
    cpdef clear(self)
