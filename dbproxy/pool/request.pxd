cimport cython

from dbproxy.sql.identity cimport Shape
from dbproxy.wire.due cimport Due


@cython.final
@cython.no_gc
cdef class Request(Due):
    cdef readonly double arrived
    cdef readonly bytes chunk
    cdef readonly Py_ssize_t at
    cdef public object refusal
    cdef public bytes bind
    cdef public Shape shape
    cdef public bint aged
    cdef public bint executes

    cpdef note_text(self, bytes chunk, Py_ssize_t at)


@cython.locals(request=Request)
cpdef Request new_request(double arrived)
