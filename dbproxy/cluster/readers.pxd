cimport cython

from dbproxy.cluster.balancer cimport chance, peak_ewma
from dbproxy.cluster.member cimport Member


@cython.final
cdef class Readers:
    cdef readonly tuple members
    cdef readonly Member primary
    cdef readonly long long replicas, slowest
    cdef readonly double warmth
    cdef public bint positions
    cdef object balance
    cdef bint weighs_cost

    cpdef Member pick(self, double now, long long lsn=*, Member avoid=*)
    @cython.locals(picked=Member)
    cdef Member _pick_from(self, tuple members, double now, bint shares)
    cdef tuple _fresh(self, long long lsn, avoided)
