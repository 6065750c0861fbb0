cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.relay cimport Relay
from dbproxy.pool.states cimport Member
from dbproxy.pool.traces cimport Traces

cdef int ADVANCES, ANSWERED, CLOSED, KIND, OVER, PARTNER_FULL, SKIP, TAIL, TESTED


cdef class Server(Member):
    cdef readonly Pool pool
    cdef readonly Relay relay

    cpdef data_received(self, bytes data)
    @cython.locals(state=int)
    cdef hear(self, bytes data)
    @cython.locals(client=Borrower)
    cdef finish(self, double now)
    @cython.locals(changed=bint)
    cpdef lend(self, Borrower client, double now)
    @cython.locals(dialogue=Dialogue)
    cpdef bytes adopt(self, settings)
    cpdef release(self, double now)
    @cython.locals(dialogue=Dialogue, traces=Traces)
    cpdef bint settle(self) except -1
