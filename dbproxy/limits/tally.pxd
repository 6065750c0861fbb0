cimport cython


@cython.final
cdef class Tally:
    cdef readonly str tier
    cdef public long long allowed
    cdef public long long burst
    cdef public long long delayed
    cdef public long long rejected
    cdef public long long observed
    cdef public long long exempt
