cimport cython

from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.dues cimport new_parse
from dbproxy.pool.preparation cimport compare, keep, spell_prepare
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.request cimport Request
from dbproxy.pool.server cimport Server
from dbproxy.pool.stats cimport PoolStats
from dbproxy.session.binding cimport Binder
from dbproxy.session.series cimport Series
from dbproxy.session.state cimport SessionState
from dbproxy.session.unnamed cimport Unnamed
from dbproxy.session.vocabulary cimport Vocabulary, cut_body
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport cut, length_at, parse_parts, target_name, write_close, write_describe, write_parse
from dbproxy.wire.pipeline cimport Pipeline


@cython.final
cdef class Translator:
    cdef readonly Vocabulary prepared
    cdef readonly SessionState state
    cdef readonly PoolStats stats
    cdef readonly bint shares
    cdef readonly Series series
    cdef readonly object readings
    cdef readonly object names
    cdef readonly Binder binder

    @cython.locals(series=Series)
    cpdef bytes translate(self, Server server, int kind, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(prepared=Vocabulary, shape=Shape)
    cdef bytes parse(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(unnamed=Unnamed)
    cdef bytes parse_unnamed(self, Server server, bytes body, Shape shape, bytes ahead)
    @cython.locals(dialogue=Dialogue, prepared=Vocabulary, statement=Statement)
    cdef bytes parse_named(self, Server server, bytes name, bytes body, Shape shape)
    @cython.locals(pipeline=Pipeline)
    cdef bytes parse_again(self, Server server, bytes name, bytes body)
    cdef bytes refuse(self, Server server, bytes name, refusal)
    @cython.locals(prepared=Vocabulary, series=Series)
    cdef bytes describe(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(prepared=Vocabulary)
    cdef bytes close(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(series=Series)
    cdef list spell_query(self, Server server, Request request, Shape shape, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef list refuse_query(self, Server server, Request request, refusal)
