cdef class Commits:
    cdef public bint asks
    cdef public double since, lost_at, sampled_at
    cdef public long long newest, base
    cdef public int pending, epoch
