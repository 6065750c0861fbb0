cimport cython


@cython.final
cdef class Tally:
    cdef readonly dict outcomes
    cdef readonly dict bypassed
    cdef readonly object discarded
    cdef public long long kept
    cdef public double saved
    cdef public long long mismatches

    @cython.locals(before="long long")
    cpdef bypass(self, str reason)
