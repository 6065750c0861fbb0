cimport cython

from dbproxy.pool.query cimport Query
from dbproxy.session.connection cimport Connection
from dbproxy.session.judging cimport Judge
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, cut, length_at, parse_parts, target_name
from dbproxy.wire.framer cimport Framer


@cython.final
cdef class Queries:
    cdef readonly Connection client
    cdef readonly Vocabulary prepared
    cdef readonly Judge judge

    @cython.locals(chunk=bytes, kinds=bytes, first=Py_ssize_t, number=Py_ssize_t, mark=Py_ssize_t, behind=Py_ssize_t, stop=Py_ssize_t, able=bint, ends=bint, kind=int, query=Query, shape=Shape, text=bytes, at=Py_ssize_t)
    cpdef Query read(self, Framer framer, Py_ssize_t index, double arrived, tuple found=*)
    @cython.locals(kind=int, at=Py_ssize_t, stop=Py_ssize_t)
    cpdef bint is_answerable(self, bytes chunk, Py_ssize_t mark, bytes kinds) except -1
    cpdef bint is_read_as_now(self, bytes chunk, Py_ssize_t at, Py_ssize_t stop) except -1
    @cython.locals(kind=int)
    cpdef tuple find_first(self, Framer framer, Py_ssize_t index)
    @cython.locals(chunk=bytes, parsed=dict, number=Py_ssize_t, mark=Py_ssize_t, kind=int, at=Py_ssize_t, name=bytes, body=bytes, where=tuple, shape=Shape)
    cpdef tuple find_statement(self, Framer framer, Py_ssize_t index, Py_ssize_t behind)
    @cython.locals(body=bytes, length=Py_ssize_t)
    cpdef Shape shape_at(self, bytes chunk, Py_ssize_t at)
