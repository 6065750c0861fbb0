cimport cython

from dbproxy.net.direct cimport has_news
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.states cimport Member, Members
from dbproxy.pool.stats cimport PoolStats
from dbproxy.pool.supply cimport Supply
from dbproxy.sql.cache cimport StatementCache

cdef double QUIET
cdef int ACTIVE, BEING_CANCELED, IDLE


cdef class Pool(Supply):
    cdef readonly object statements
    cdef readonly object forget_statements
    cdef readonly object cancel
    cdef public double slow_after
    cdef readonly PoolStats stats
    cdef readonly object parameter_sets
    cdef readonly StatementCache classifier
    cdef public dict routines
    cdef public double routines_read_at
    cdef public bint sets_unseen
    cdef public bint tells_positions
    cdef public bint recalls

    @cython.locals(server=Member)
    cpdef checkout(self, Borrower client, double now)
    @cython.locals(client=Borrower)
    cpdef checkin(self, Member server, double now)
