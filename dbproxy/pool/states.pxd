from dbproxy.net.link cimport Link


cdef class Member(Link):
    cdef public int state
    cdef public int generation
    cdef public int cancels
    cdef public bint doubtful
    cdef public double expires_at
    cdef public double used_at
    cdef public double checked_at

    cpdef lend(self, client, double now)
    cpdef close(self, str reason, error=*)
    cdef public object settings
    cdef public object claimed_by
