cimport cython

from dbproxy.routing.router cimport Router
from dbproxy.session.reader cimport Reader
from dbproxy.session.statements cimport ClientStatements
from dbproxy.sql.cache cimport StatementCache
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer

cdef int BATCH_LIMIT, STATEMENT_NEED


@cython.final
cdef class Judge:
    cdef readonly Reader reader
    cdef readonly object state
    cdef readonly ClientStatements prepared
    cdef public Router router
    cdef readonly StatementCache classifier
    cdef readonly list judged
    cdef bytes known_in
    cdef Py_ssize_t known_at
    cdef Shape known

    cpdef forget(self)
    @cython.locals(length=Py_ssize_t, found=Shape, start=Py_ssize_t, stop=Py_ssize_t)
    cpdef Shape classify(self, bytes chunk, Py_ssize_t at)
    cpdef str judge(self, Framer framer, Py_ssize_t index)
    @cython.locals(chunk=bytes, end=Py_ssize_t, mark=Py_ssize_t, last=int, at=Py_ssize_t, name=bytes, judged=list, named=dict, shape=Shape)
    cdef str judge_messages(self, Framer framer, Py_ssize_t index)
