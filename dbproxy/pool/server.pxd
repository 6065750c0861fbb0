cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.traces cimport Traces
from dbproxy.pool.relay cimport Relay

cdef int CLOSED, KIND, PARTNER_FULL, SKIP, TAIL, TESTED


cdef class Server(Relay):
    cdef public Borrower borrower
    cdef readonly double left_at
    cdef readonly double lent_at
    cdef readonly bint changed
    cdef public Borrower notifier
    cdef readonly bint cancels_later

    cpdef lend(self, client, double now)
    cpdef bytes adopt(self, settings)
    @cython.locals(traces=Traces)
    cpdef bint settle(self) except -1
    cdef conclude(self, note)
    cdef finish(self, double now)
    cpdef release(self, double now)
