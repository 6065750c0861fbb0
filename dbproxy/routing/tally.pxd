cimport cython


@cython.final
cdef class Tally:
    cdef readonly str usual
    cdef readonly long long times
    cdef readonly dict others

    cpdef count(self, str reason)
