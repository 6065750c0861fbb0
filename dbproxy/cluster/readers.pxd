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

    @cython.locals(picked=Member)
    cpdef Member pick(self, double now, long long lsn=*, Member avoid=*)
    cdef tuple _fresh(self, long long lsn, Member avoid)
