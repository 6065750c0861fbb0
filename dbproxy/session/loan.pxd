cimport cython

from dbproxy.limits.allowance cimport Allowance
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.loan cimport Use
from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.server cimport Server
from dbproxy.pool.tenant cimport Tenant
from dbproxy.session.connection cimport Connection
from dbproxy.session.route cimport Route
from dbproxy.session.series cimport Series
from dbproxy.session.state cimport SessionState
from dbproxy.session.vocabulary cimport Vocabulary

cdef int ANSWERED, FLOODING, MOVE, NOT, PARTNER_FULL, WRITES


@cython.final
cdef class Lending:
    cdef readonly Connection client
    cdef readonly SessionState state
    cdef readonly Vocabulary prepared
    cdef readonly Series series
    cdef readonly Route route
    cdef readonly bint tracks
    cdef readonly double request_time
    cdef readonly bint late
    cdef readonly double flushed_at
    cdef public long long followed
    cdef readonly Server latest
    cdef public bint claims

    @cython.locals(client=Connection, dialogue=Dialogue)
    cdef list begin(self, Server server)
    @cython.locals(waits=bint)
    cpdef bint finish(self, Server server, int status) except -1
    @cython.locals(route=Route)
    cdef end_answer(self, Server server, int status)
    @cython.locals(client=Connection, settings=Parameters, tenant=Tenant)
    cdef bint end(self, Server server) except -1
    @cython.locals(allowance=Allowance, use=Use, now=double)
    cdef account(self, Server server, bint over)
    cdef give_back(self)
    cpdef bint catch_up(self, Server server) except -1
