cimport cython

from dbproxy.cluster.balancer cimport end
from dbproxy.cluster.lag cimport settle
from dbproxy.cluster.member cimport Member
from dbproxy.features.mode cimport Feature, Stand
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.routing.destination cimport Destination
from dbproxy.routing.reader cimport Reader
from dbproxy.routing.router cimport Router
from dbproxy.session.batch cimport Batch
from dbproxy.session.connection cimport Connection
from dbproxy.session.judging cimport Judge
from dbproxy.session.moving cimport Mover
from dbproxy.session.replay cimport Replay
from dbproxy.session.series cimport Series
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.wire.extended cimport length_at
from dbproxy.wire.framer cimport Framer

cdef int ANSWERED, BATCH_LIMIT, DETOURS, MOVE, PARTNER_FULL, RETRY, WRITES


@cython.final
cdef class Route:
    cdef readonly Connection client
    cdef readonly Vocabulary prepared
    cdef readonly Series series
    cdef readonly Reader reader
    cdef readonly Judge judge
    cdef readonly Replay replay
    cdef readonly Batch batch
    cdef readonly Mover mover
    cdef readonly Stand stand
    cdef readonly Member host
    cdef public int detours
    cdef public object detour
    cdef public bint wrote
    cdef public bint writes

    @cython.locals(client=Connection, reader=Reader, router=Router, feature=Feature, verdict=str, found=Destination)
    cdef Pool choose(self, Framer framer, Py_ssize_t index)
    @cython.locals(client=Connection, server=Server, framer=Framer, idle=bint, reads=bint)
    cdef Py_ssize_t stays(self) except -1
    cdef bint is_behind(self, Server server) except -1
    cdef Py_ssize_t stays_unread(self, Server server, Framer framer) except -1
    cdef keep(self, Framer framer, Py_ssize_t index, int answered)
    cpdef leave_host(self, double seconds=*, double ran=*, double now=*)
    cdef forget_detours(self)
