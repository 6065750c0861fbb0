from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.wire.framer cimport Framer

cdef int BACKLOG_LIMIT, PARKED, PARTNER_FULL, SELF_FULL


cdef class ClientConnection(Borrower):
    cdef readonly object login
    cdef readonly object id
    cdef readonly Pool pool
    cdef readonly object waits_in
    cdef readonly PoolStats stats
    cdef readonly str mode
    cdef readonly Framer framer
    cdef readonly Server server
    cdef public object hub
    cdef readonly bint parked
    cdef readonly bint leaving
    cdef readonly list pending
    cdef readonly object fault
    cdef list backlog
    cdef Py_ssize_t backlog_size
    cdef readonly double arrived
    cdef readonly double stalled_since

    cdef take(self, bytes data)
