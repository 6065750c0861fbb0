cimport cython

from dbproxy.routing.reader cimport Reader
from dbproxy.routing.router cimport Router
from dbproxy.pool.prepared cimport Statement
from dbproxy.session.connection cimport Connection
from dbproxy.session.state cimport SessionState
from dbproxy.session.unnamed cimport Unnamed
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.cache cimport StatementCache
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, cut, length_at, parse_parts
from dbproxy.wire.framer cimport Framer

cdef int BATCH_LIMIT, STATEMENT_NEED


@cython.final
cdef class Judge:
    cdef readonly Connection client
    cdef readonly Reader reader
    cdef readonly SessionState state
    cdef readonly Vocabulary prepared
    cdef public Router router
    cdef readonly StatementCache classifier
    cdef readonly tuple judged
    cdef dict named
    cdef Shape unnamed
    cdef bytes known_in
    cdef Py_ssize_t known_at
    cdef Shape known

    cpdef forget(self)
    @cython.locals(length=Py_ssize_t, found=Shape, start=Py_ssize_t, stop=Py_ssize_t)
    cpdef Shape classify(self, bytes chunk, Py_ssize_t at)
    @cython.locals(router=Router, reader=Reader, mark=Py_ssize_t, shape=Shape)
    cpdef str judge(self, Framer framer, Py_ssize_t index)
    cdef Shape classify_query(self, bytes chunk, Py_ssize_t at)
    @cython.locals(chunk=bytes, mark=Py_ssize_t, last=int, begun=bint, asked=bint, within=bint, judged=list, others=list, shape=Shape, router=Router)
    cdef str judge_messages(self, Framer framer, Py_ssize_t index)
    @cython.locals(parts=tuple, name=bytes, body=bytes, known=Unnamed)
    cdef str note_parse(self, bytes chunk, Py_ssize_t at)
    @cython.locals(where=tuple, start=Py_ssize_t, stop=Py_ssize_t, known=Statement)
    cdef Shape shape_at(self, bytes chunk, int kind, Py_ssize_t at, Py_ssize_t end)


cdef bint is_no_request(int kind) except -1
