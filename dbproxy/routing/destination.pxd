cimport cython

from dbproxy.cluster.member cimport Member
from dbproxy.pool.pool cimport Pool
from dbproxy.routing.tally cimport Tally


@cython.final
cdef class Destination:
    cdef readonly Member host
    cdef readonly Pool pool
    cdef readonly Tally sent
    cdef readonly Tally observed
