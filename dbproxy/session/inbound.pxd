cimport cython

from dbproxy.limits.allowance cimport Allowance
from dbproxy.net.direct cimport monotonic
from dbproxy.wire.framer cimport Framer

cdef int BACKLOG_LIMIT, NOT


@cython.final
cdef class Inbound:
    cdef readonly Framer framer
    cdef public object room
    cdef public int wait
    cdef readonly list pending
    cdef readonly list chunks
    cdef readonly Py_ssize_t size
    cdef public double arrived
    cdef public object passage
    cdef public Allowance allowance
    cdef public bint leaving
    cdef public object fault

    cpdef bint keep(self, bytes data)
    cpdef tuple end_wait(self)
    cpdef bytes take(self)
