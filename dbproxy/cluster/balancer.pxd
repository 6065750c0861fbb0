cimport cython

from dbproxy.cluster.member cimport Member


cpdef object begin(Member member)
cpdef object end(Member member, double seconds, double now)

@cython.locals(kept=double)
cpdef object observe(Member member, double seconds, double now)

@cython.locals(latency=double)
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
