cimport cython

from dbproxy.limits.bucket cimport Bucket
from dbproxy.limits.fleet cimport Fleet


@cython.final
cdef class Lease:
    cdef readonly Fleet fleet
    cdef readonly object owner
    cdef readonly bytes key
    cdef readonly Bucket rate
    cdef public long long hand
    cdef readonly long long until
    cdef readonly long long seen
    cdef readonly long long charged
    cdef readonly long long told
    cdef readonly long long used_at
    cdef readonly long long taken
    cdef readonly long long size
    cdef readonly long long step
    cdef public bint fetching
    cdef public bint attended

    cpdef long long wait(self, long long now) noexcept
    @cython.locals(cost="long long")
    cpdef long long cost(self) noexcept
    @cython.locals(interval="long long")
    cpdef take(self, long long now)
    cpdef bint knows(self, long long now) noexcept
    cpdef give(self, long long span)
    cpdef charge(self, long long now, long long span)
