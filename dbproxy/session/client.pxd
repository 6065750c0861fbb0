cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.server cimport Server
from dbproxy.session.requests cimport Requester
from dbproxy.wire.framer cimport Framer

cdef int PARKED, PARTNER_FULL, WRITES


cdef class Client(Requester):
    cdef readonly double request_time
    cdef readonly double flushed_at

    cdef park(self, Framer framer, Py_ssize_t index)
    cdef list borrow(self, Server server)
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    @cython.locals(server=Server, settings=Parameters)
    cpdef bint finished(self, int status) except -1
