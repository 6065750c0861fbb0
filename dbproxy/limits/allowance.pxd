cimport cython

from dbproxy.features.mode cimport Feature, Stand
from dbproxy.limits.subject cimport Subject

cdef int MOST_AT_ONCE, OBSERVE, OFF, ON
cdef tuple NO_SUBJECTS


@cython.final
cdef class Allowance:
    cdef readonly object warden
    cdef readonly Feature feature
    cdef readonly object client
    cdef readonly long long number
    cdef readonly object facts
    cdef readonly Stand stand
    cdef public tuple subjects
    cdef public long long version
    cdef readonly object settings
    cdef public bint reads_tags
    cdef public bint exempt
    cdef readonly bint running
    cdef readonly tuple paid
    cdef public Subject promised
    cdef public object reply
    cdef readonly object observation
    cdef readonly int judged

    cpdef bint let_go(self, settings, double now) except -1
    cpdef look_up(self, settings, double now)
    @cython.locals(subject=Subject)
    cpdef bint begin(self, long long time) except -1
    cpdef open(self)
    cpdef keep_place(self, Subject called)
    cpdef Subject take_place(self)
    @cython.locals(subject=Subject, time="long long")
    cpdef bint affords(self, long long number, double now) except -1
    cpdef bint note_judged(self) noexcept
    cpdef run(self, tuple paid)
    @cython.locals(subject=Subject)
    cpdef pay(self, long long time)
    @cython.locals(subject=Subject, time="long long", span="long long")
    cpdef charge(self, double now, double held, long long rows, long long transactions, long long statements)
    @cython.locals(
        subject=Subject, time="long long", span="long long", number="long long", refused="long long"
    )
    cpdef end(self, double now, double held, long long rows, long long transactions, long long statements)
    cdef run_no_more(self)
    @cython.locals(subject=Subject, refusing=Subject, allowed="long long", number="long long")
    cdef long long count_observed(self, long long time, long long more)
    cpdef give_up(self, double now)
    @cython.locals(subject=Subject)
    cpdef answered(self, double now)
