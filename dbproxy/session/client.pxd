cimport cython

from dbproxy.observe.sampling cimport Sampler
from dbproxy.pool.request cimport Request
from dbproxy.pool.server cimport Server
from dbproxy.pool.tenant cimport Tenant
from dbproxy.session.connection cimport Connection
from dbproxy.session.ear cimport Ear
from dbproxy.session.inbound cimport Inbound
from dbproxy.session.intake cimport Intake
from dbproxy.session.loan cimport Lending
from dbproxy.session.route cimport Route
from dbproxy.session.state cimport SessionState
from dbproxy.session.translator cimport Translator
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.wire.framer cimport Framer

cdef int DONE, DUE_LIMIT, FLOODING, NOT, PARKED, PASSED, REFUSED, RETRY, SERVED
cdef bytes NO_TAGS


cdef class Client(Connection):
    cdef public SessionState state
    cdef public Vocabulary prepared
    cdef public Translator translator
    cdef public Ear ear
    cdef public Route route
    cdef public Lending lending
    cdef public Intake intake

    cdef take(self, bytes data)
    @cython.locals(inbound=Inbound, framer=Framer, index=Py_ssize_t, position=Py_ssize_t)
    cpdef resume(self, int event, Server server=*)
    @cython.locals(inbound=Inbound)
    cdef drain(self)
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
    @cython.locals(tenant=Tenant, chunk=bytes, slow=bint, chosen=int)
    cpdef request_over(self, Request request, long long microseconds, bint failed)
