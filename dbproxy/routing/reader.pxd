cimport cython

from dbproxy.cluster.member cimport Member
from dbproxy.pool.parameters cimport Parameters
from dbproxy.routing.wishes cimport Wishes


@cython.final
cdef class Reader:
    cdef readonly bint read_only
    cdef public Parameters settings
    cdef public Wishes wishes
    cdef public long long version
    cdef public tuple asked
    cdef public str wanted_host
    cdef public str reason
    cdef public Member avoided
    cdef public bint waited
    cdef public long long awaits
    cdef public long long position
    cdef public int epoch
    cdef public double wrote_at

    cpdef forget_detours(self)
