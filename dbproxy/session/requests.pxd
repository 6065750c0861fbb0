cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.server cimport Server
from dbproxy.session.hearing cimport Hearer
from dbproxy.session.replay cimport Replay
from dbproxy.session.statements cimport ClientStatements
from dbproxy.sql.cache cimport StatementCache
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int DUE_LIMIT, FLOODING, NOTHING_YET, SPOILED, STATEMENT_NEED


cdef class Requester(Hearer):
    cdef bint late
    cdef bint discarding
    cdef readonly Replay replay
    cdef double started

    cdef take(self, bytes data)
    cdef park(self, Framer framer, Py_ssize_t index)
    cdef list borrow(self, Server server)
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
    @cython.locals(server=Server)
    cpdef reply(self, bytes data)
