cdef class Wishes:
    cdef readonly list complaints
    cdef readonly str consistency, route
    cdef readonly long long token
    cdef readonly int sees
    cdef readonly bint read_only, serializable, plain
