from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.session.inbound cimport Inbound
from dbproxy.wire.framer cimport Framer

cdef int NOT, PARKED, PARTNER_FULL, REPLAYED, SELF_FULL


cdef class Connection(Borrower):
    cdef readonly object identity
    cdef readonly Pool pool
    cdef readonly Inbound inbound
    cdef public Server server
    cdef readonly double stalled_since

    cdef take(self, bytes data)
    cpdef park(self, int wait, Framer framer, Py_ssize_t index)
    cpdef bint is_parked(self)
    cpdef resume(self, int event, Server server=*)
    cpdef data_received(self, bytes data)
