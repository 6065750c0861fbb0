cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.session.routed cimport Routed
from dbproxy.session.replay cimport Replay
from dbproxy.session.statements cimport ClientStatements
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int DUE_LIMIT, FLOODING, NOTHING_YET, SPOILED


cdef class Requester(Routed):
    cdef bint late
    cdef bint discarding
    cdef double started

    cdef take(self, bytes data)
    cdef park(self, Framer framer, Py_ssize_t index)
    cdef list borrow(self, Server server)
    @cython.locals(
        server=Server, home=Pool, pipeline=Pipeline, prepared=ClientStatements, replay=Replay, pieces=list, chunk=bytes,
        end=Py_ssize_t, mark=Py_ssize_t, kind=int, at=Py_ssize_t, stop=Py_ssize_t, new=bytes, shape=Shape,
    )
    cdef request(self, Framer framer, Py_ssize_t index, Py_ssize_t position)
    cdef list query(
        self, Server server, Shape shape, bytes chunk, Py_ssize_t position, Py_ssize_t at, Py_ssize_t stop, list pieces
    )
    cdef bint needs_server(self, int kind, bytes chunk, Py_ssize_t at) except -1
    cdef rare(self, Server server, int kind)
    @cython.locals(server=Server)
    cpdef reply(self, bytes data)
