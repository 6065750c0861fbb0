cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.wire.extended cimport (
    bind_name, length_at, parse_parts, target_name, write_bind, write_close, write_describe, write_parse,
)
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline


cdef class Client(Borrower):
    cdef readonly object login
    cdef readonly object id
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef readonly object settings
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
    cdef readonly dict statements
    cdef list promised
    cdef list faked
    cdef set described
    cdef bytes unnamed
    cdef list replay
    cdef Py_ssize_t replay_at
    cdef bint sealed
    cdef bint retried
    cdef bint executes
    cdef bint describes
    cdef bytes seen
    cdef Py_ssize_t seen_at
    cdef double arrived
    cdef double started
    cdef readonly double request_time
    cdef readonly double stalled_since

    cdef take(self, bytes data)
    @cython.locals(
        server=Server, pipeline=Pipeline, pieces=list, number=Py_ssize_t, mark="long long", kind=int,
        at=Py_ssize_t, stop=Py_ssize_t, new=bytes,
    )
    cdef request(self, bytes chunk, list marks, Py_ssize_t index, Py_ssize_t position, Py_ssize_t end)
    cdef bint needs_server(self, int kind, bytes chunk, Py_ssize_t at) except -1
    @cython.locals(stop=Py_ssize_t)
    cdef bint promise(self, int kind, bytes chunk, Py_ssize_t at) except -1
    cdef rare(self, Server server, int kind)
    cdef bytes translate(self, Server server, int kind, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes parse_again(self, Server server, bytes name, known, bytes body)
    cdef bytes parse(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(where=tuple, start=Py_ssize_t, end=Py_ssize_t, name=bytes)
    cdef bytes bind(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes describe(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes close_statement(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes unnamed_on(self, Server server)
    cdef remember(self, bytes chunk, Py_ssize_t end)
    cdef forget_request(self)
    cdef park(self, bytes chunk, list marks, Py_ssize_t index, Py_ssize_t end)
    cdef list borrow(self, Server server)
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    @cython.locals(server=Server)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
