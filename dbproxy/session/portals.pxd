cimport cython

from dbproxy.pool.dues cimport Bind
from dbproxy.pool.execution cimport Execution, new_execution
from dbproxy.pool.prepared cimport Statement
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, cut, find_zero, length_at, parse_parts
from dbproxy.wire.pipeline cimport Pipeline


@cython.final
cdef class Portals:
    cdef readonly Vocabulary prepared
    cdef readonly bint shares
    cdef readonly object find_shape
    cdef readonly Execution unnamed
    cdef readonly dict named
    cdef readonly dict shapes

    cpdef note(self, int kind, Pipeline pipeline, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(bound=Bind)
    cdef bind(self, Pipeline pipeline, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(where=tuple, start=Py_ssize_t, end=Py_ssize_t, execution=Execution, shape=Shape)
    cdef bind_by_name(self, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    @cython.locals(statement=Statement)
    cdef Shape shape_of(self, bytes name)
    @cython.locals(statement=Statement)
    cpdef Shape find_executed(self, Shape shape)
    @cython.locals(buffer="const unsigned char *", portal=Execution, execution=Execution, limit="long long", end=Py_ssize_t)
    cpdef Execution execute(self, bytes chunk, Py_ssize_t at, double arrived)
