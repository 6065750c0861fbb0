cimport cython

from dbproxy.limits.bucket cimport Bucket
from dbproxy.limits.lease cimport Lease
from dbproxy.limits.tally cimport Tally

cdef int TENTH
cdef Tally NOBODY
cdef dict NOBODY_WAITS


@cython.final
cdef class Subject:
    cdef readonly str rule
    cdef readonly str key
    cdef readonly str tier
    cdef readonly object limits
    cdef readonly Tally tally
    cdef readonly Bucket rate
    cdef readonly Lease lease
    cdef readonly Bucket server_time
    cdef readonly Bucket rows
    cdef readonly Bucket logins
    cdef readonly int max_concurrent
    cdef readonly bint counts_queries
    cdef public int running
    cdef public int promised
    cdef readonly dict queue
    cdef public int sessions
    cdef public long long used
    cdef public long long refused
    cdef public long long quiet_until
    cdef public long long version

    @cython.locals(longest="long long")
    cpdef Py_ssize_t wait(self, long long now) except -1
    @cython.locals(rate=Bucket, span="long long")
    cpdef bint affords(self, long long number, long long now) except -1
    @cython.locals(longest="long long")
    cpdef Py_ssize_t debt(self, long long now) except -1
    cpdef Py_ssize_t count_affordable(self, long long now) except -1
    cpdef bint is_crowded(self) noexcept
    cpdef bint begin(self, long long now) except -1
    cpdef open(self)
    @cython.locals(rate=Bucket, used="long long")
    cpdef bint count(self, long long now) except -1
    cpdef end(self)
    cpdef fill(self)
    cpdef charge(self, long long now, long long held, long long rows, long long number)
    cpdef give_back(self)
    cpdef refund(self)
    cpdef give(self, long long span)
    cpdef bint is_idle(self, long long now) except -1


cpdef Py_ssize_t known_wait(Subject subject, long long now) except -1
@cython.locals(slowest=Subject, subject=Subject, longest="long long", wait="long long")
cpdef Subject find_slowest(subjects, long long now)
@cython.locals(subject=Subject)
cpdef Subject find_crowded(subjects)
