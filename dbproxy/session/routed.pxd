cimport cython

from dbproxy.cluster.balancer cimport end
from dbproxy.cluster.lag cimport settle
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.routing.router cimport Router
from dbproxy.session.moving cimport Mover
from dbproxy.session.replay cimport Replay
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer

cdef int BATCH_LIMIT, DETOURS, PARTNER_FULL, WRITES


cdef class Routed(Mover):
    cdef readonly Replay replay
    cdef readonly bint read_only
    cdef readonly int detours
    cdef readonly object avoided
    cdef readonly bint waited
    cdef public long long awaits
    cdef readonly long long position
    cdef readonly int epoch
    cdef readonly bint wrote
    cdef readonly double wrote_at
    cdef readonly bint writes

    @cython.locals(router=Router, verdict=str)
    cdef Pool choose(self, Framer framer, Py_ssize_t index)
    @cython.locals(server=Server)
    cdef Py_ssize_t stays(self) except -1
    cpdef leave_host(self, double seconds)
