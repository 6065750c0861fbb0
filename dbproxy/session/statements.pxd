cimport cython

from dbproxy.pool.dues cimport Portal, new_bind, new_parse
from dbproxy.pool.preparation cimport compare, keep, spell_prepare
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.server cimport Server
from dbproxy.session.vocabulary cimport Vocabulary, cut_body
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.due cimport Due
from dbproxy.wire.extended cimport (
    bind_name, cut, is_described, length_at, parse_parts, target_name, write_bind, write_close, write_describe, write_parse,
)


cdef class ClientStatements(Vocabulary):
    cdef public bint asks
    cdef public list restores
    cdef public object restored
    cdef readonly object names
    cdef public bint executes
    cdef public Due bound
    cdef readonly object readings
    cdef readonly bytes seen
    cdef readonly Py_ssize_t seen_at

    cpdef bytes translate(self, Server server, int kind, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(shape=Shape)
    cdef bytes parse(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes begin_harmful(self, Server server, Shape shape, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cpdef bytes begin(self, Server server, effects, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cdef bytes bind_answer(self, Server server, Shape shape, bytes body, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes parse_again(self, Server server, bytes name, bytes body)
    @cython.locals(where=tuple, statement=Statement, shape=Shape, start=Py_ssize_t, end=Py_ssize_t, name=bytes, told=Py_ssize_t, again=bint)
    cdef bytes bind(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes describe(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes close(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef bytes prepare(self, Server server, Statement statement)


cdef bint shows_names(Shape shape) except -1
cdef bint asks_again(bytes name, bytes chunk, Py_ssize_t stop) except -1
