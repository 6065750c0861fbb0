cimport cython

from dbproxy.cluster.member cimport Load, Member

cdef extern from "math.h":
    double c_exp "exp" (double number)

cdef bint COMPILED
cdef double _DECAY, _RECENT, FALL, FIRST, RISE, TOLERANCE
cdef unsigned long long _BITS


@cython.final
cdef class Dice:
    cdef unsigned long long state

    @cython.locals(state=cython.ulonglong)
    cdef double throw(self)


cdef Dice _dice

cpdef double chance() except -1.0
cdef double decay(double seconds) except -1.0

cpdef object begin(Member member)
cpdef object end(Member member, double seconds, double ran, double now)

@cython.locals(p99=double)
cpdef object learn(Load load, double seconds, double now)

@cython.locals(kept=double)
cpdef object observe(Member member, double seconds, double now)

@cython.locals(latency=double, age=double)
cpdef double cost(Member member, double now) except -1.0

@cython.locals(total=double, left=double, member=Member)
cpdef Member draw(tuple members, Member beside=*)

@cython.locals(first=Member, second=Member)
cpdef Member peak_ewma(tuple members, double now)

@cython.locals(best=Member, member=Member)
cpdef Member least_connections(tuple members, double now)

@cython.locals(best=Member, member=Member, total=double)
cpdef Member round_robin(tuple members, double now)

cpdef Member by_weight(tuple members, double now)
