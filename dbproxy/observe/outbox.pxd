cdef class Outbox:
    cdef readonly object waiting
    cdef readonly object counts
    cdef public long long per_second
    cdef readonly long long second
    cdef readonly long long taken_in
    cdef public bint sends

    cpdef bint put(self, item, double now) except -1
    cpdef list take(self)
