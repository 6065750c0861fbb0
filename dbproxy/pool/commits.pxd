cdef class Commits:
    cdef public bint asks
    cdef public double since, lost_at, sampled_at, known_for
    cdef public long long newest, base, known
    cdef public int pending, epoch
