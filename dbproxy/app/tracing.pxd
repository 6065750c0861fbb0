cimport cython

from dbproxy.observe.outbox cimport Outbox
from dbproxy.observe.record cimport Record
from dbproxy.observe.sampling cimport Sampler
from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.query cimport Query
from dbproxy.session.connection cimport Connection
from dbproxy.session.identity cimport Identity
from dbproxy.wire.extended cimport statement_text


cdef class Tracing:
    cdef readonly object exemplars
    cdef readonly Sampler sampler
    cdef readonly Outbox outbox
    cdef readonly object exporter
    cdef readonly bint started
    cdef readonly object keys
    cdef readonly bint follows

    @cython.locals(client=Connection, identity=Identity, record=Record)
    cpdef hear(self, Query request)
    cpdef put(self, record, double now)

@cython.locals(text=bytes)
cdef bytes read_tagged(Query request)
cdef find_context(Parameters settings)
