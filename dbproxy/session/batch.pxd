cimport cython


@cython.final
cdef class Batch:
    cdef readonly list parts
    cdef readonly list reads
    cdef readonly int answered

    cpdef begin(self, list reads, bytes data, int answered)
    cpdef add(self, list reads, bytes data)
    cpdef clear(self)
