cimport cython


@cython.final
cdef class Replay:
    cdef readonly list parts
    cdef public Py_ssize_t at
    cdef public bint sealed
    cdef public bint used

    cpdef keep(self, bytes chunk, Py_ssize_t end)
    cpdef bint possible(self, bint executes)
    cpdef clear(self)
