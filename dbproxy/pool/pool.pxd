cimport cython

from dbproxy.net.direct cimport has_news
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.states cimport Member, Members
from dbproxy.pool.stats cimport PoolStats
from dbproxy.sql.cache cimport StatementCache

cdef double QUIET
cdef int ACTIVE, BEING_CANCELED, CLOSED, IDLE


cdef class Pool:
    cdef readonly str database
    cdef readonly str user
    cdef public object settings
    cdef readonly Pool primary
    cdef readonly object host
    cdef public bint moves
    cdef readonly object commits
    cdef readonly object statements
    cdef readonly object launch
    cdef readonly object forget_statements
    cdef readonly object cancel
    cdef public double slow_after
    cdef readonly PoolStats stats
    cdef readonly list lists
    cdef readonly Members idle
    cdef readonly Members active
    cdef readonly object waiting
    cdef readonly object parameter_sets
    cdef readonly StatementCache classifier
    cdef public dict routines
    cdef public double routines_read_at
    cdef public bint sets_unseen
    cdef public bint tells_positions
    cdef public bint recalls
    cdef public dict welcome
    cdef public bint paused
    cdef readonly int generation
    cdef readonly str retired_for
    cdef readonly int opening
    cdef readonly set attempts
    cdef readonly int failures
    cdef public double retry_at
    cdef public object last_error

    @cython.locals(server=Member)
    cpdef checkout(self, Borrower client, double now)
    cpdef leave(self, client)
    @cython.locals(client=Borrower)
    cpdef checkin(self, Member server, double now)
    cpdef move(self, Member server, int state)
    cpdef open_more(self, double now)
