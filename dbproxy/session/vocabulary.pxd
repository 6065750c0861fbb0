cimport cython

from dbproxy.pool.pool cimport Pool
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.session.unnamed cimport Unnamed
from dbproxy.sql.comments cimport cut_comments
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport cut, find_zero, length_at, parse_parts, stands_at, target_name, write_close, write_parse


@cython.locals(stop=Py_ssize_t)
cpdef bytes cut_body(bytes body)


@cython.final
cdef class Vocabulary:
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef readonly bint shares
    cdef readonly object scope
    cdef readonly object plain
    cdef readonly object own_scopes
    cdef readonly int departed
    cdef readonly dict statements
    cdef readonly Py_ssize_t size
    cdef readonly bytes called
    cdef readonly Statement called_statement
    cdef readonly list promised
    cdef readonly list faked
    cdef readonly dict described
    cdef readonly Unnamed unnamed
    cdef readonly object state
    cdef readonly dict by_sql
    cdef readonly set describing

    @cython.locals(stop=Py_ssize_t)
    cpdef bint promise(self, int kind, bytes chunk, Py_ssize_t at) except -1
    cpdef keep(self, bytes name, Statement statement)
    cpdef bint knows(self, bytes name) except -1
    cpdef Statement find_called(self, bytes chunk, Py_ssize_t start, Py_ssize_t stop)
    cpdef bytes body_of(self, bytes name)
    cpdef Shape shape_of(self, bytes name)
    cpdef bint reads_as_now(self, bytes name) except -1
    cdef bint is_describing(self, bytes name) except -1
    cpdef borrow(self, Server server)
    cpdef end_request(self)
