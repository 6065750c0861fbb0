from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.states cimport Member
from dbproxy.pool.stats cimport PoolStats
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int PARTNER_FULL


cdef class Connection(Member):
    cdef readonly object id
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef public Borrower client
    cdef readonly Framer framer
    cdef readonly Pipeline pipeline
    cdef public object mailbox
    cdef readonly dict parameters
    cdef readonly bint skipping
    cdef public bint told
    cdef public int pid
    cdef public bytes key
    cdef public str address
    cdef public tuple endpoint
    cdef public double connected_at

    cdef relay(self, bytes data)
    cpdef close(self, str reason, error=*)
