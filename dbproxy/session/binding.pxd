cimport cython

from dbproxy.pool.dues cimport Portal, new_bind
from dbproxy.pool.preparation cimport compare, spell_prepare
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.session.series cimport Series
from dbproxy.session.state cimport SessionState
from dbproxy.session.unnamed cimport Unnamed
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, is_described, length_at, write_bind, write_close, write_describe, write_parse

cdef int NO_TEXT


@cython.final
cdef class Binder:
    cdef readonly Vocabulary prepared
    cdef readonly Series series
    cdef readonly SessionState state
    cdef readonly object names
    cdef readonly object readings
    cdef readonly PoolStats stats
    cdef readonly bint shares

    @cython.locals(where=tuple, statement=Statement, start=Py_ssize_t, end=Py_ssize_t, name=bytes)
    cdef bytes bind(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(unnamed=Unnamed, series=Series, shape=Shape, ahead=bytes, new=bytes)
    cdef bytes bind_unnamed(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(prepared=Vocabulary, unnamed=Unnamed, series=Series, again=bint)
    cdef bytes bind_elsewhere(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(unnamed=Unnamed)
    cdef bytes move_unnamed(self, Server server)
    @cython.locals(prepared=Vocabulary, series=Series, told=Py_ssize_t, again=bint, ahead=bytes, new=bytes, bind=bytes)
    cdef bytes bind_named(self, Server server, bytes name, Statement statement, bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t end, Py_ssize_t stop)
    cdef bytes fail(self, Server server, bytes name, bytes missing, bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t end, Py_ssize_t stop)
    @cython.locals(prepared=Vocabulary)
    cdef bytes prepare(self, Server server, Statement statement)
    cdef bint is_lost(self, Server server, Statement statement) except -1
    cdef bytes ask_first(self, Server server, bytes name, Statement statement, bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t end, Py_ssize_t stop)
    cdef bytes begin_harmful(self, Server server, Shape shape, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(series=Series)
    cpdef bytes begin(self, Server server, effects, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cdef bytes answer(self, Server server, Shape shape, bytes body, bytes chunk, Py_ssize_t at, Py_ssize_t stop)


cpdef bint shows_names(Shape shape) except -1
cpdef bint asks_again(bytes name, bytes chunk, Py_ssize_t stop) except -1
