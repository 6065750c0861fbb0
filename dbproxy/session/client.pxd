cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.session.replay cimport Replay
from dbproxy.session.statements cimport ClientStatements
from dbproxy.sql.cache cimport StatementCache
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int BACKLOG_LIMIT, DUE_LIMIT, FLOODING, NOTHING_YET, PARKED, PARTNER_FULL, SELF_FULL, SPOILED, STATEMENT_NEED


cdef class Client(Borrower):
    cdef readonly object login
    cdef readonly object id
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef readonly bint tracks
    cdef readonly object state
    cdef public object hub
    cdef public bint claims
    cdef readonly bint owes_ready
    cdef readonly str mode
    cdef readonly bint shares
    cdef readonly Framer framer
    cdef readonly Server server
    cdef readonly bint parked
    cdef readonly bint leaving
    cdef bint late
    cdef bint discarding
    cdef tuple pending
    cdef list backlog
    cdef Py_ssize_t backlog_size
    cdef readonly ClientStatements prepared
    cdef readonly Replay replay
    cdef double arrived
    cdef double started
    cdef readonly double request_time
    cdef readonly double stalled_since

    cdef take(self, bytes data)
    @cython.locals(
        server=Server, pipeline=Pipeline, prepared=ClientStatements, replay=Replay, pieces=list, chunk=bytes,
        end=Py_ssize_t, mark=Py_ssize_t, kind=int, at=Py_ssize_t, stop=Py_ssize_t, new=bytes,
    )
    cdef request(self, Framer framer, Py_ssize_t index, Py_ssize_t position)
    @cython.locals(length=Py_ssize_t, classifier=StatementCache, start=Py_ssize_t, stop=Py_ssize_t)
    cdef classify(self, bytes chunk, Py_ssize_t at)
    cdef list query(
        self, Server server, effects, bytes chunk, Py_ssize_t position, Py_ssize_t at, Py_ssize_t stop, list pieces
    )
    cdef bint needs_server(self, int kind, bytes chunk, Py_ssize_t at) except -1
    cdef rare(self, Server server, int kind)
    cdef park(self, Framer framer, Py_ssize_t index)
    cdef list borrow(self, Server server)
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    @cython.locals(server=Server)
    cpdef reply(self, bytes data)
    @cython.locals(server=Server, settings=Parameters)
    cpdef bint finished(self, int status) except -1
