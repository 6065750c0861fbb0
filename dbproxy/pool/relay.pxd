cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.connection cimport Connection
from dbproxy.pool.traces cimport Traces
from dbproxy.pool.statements cimport ServerStatements
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int SKIP


cdef class Relay(Connection):
    cdef readonly ServerStatements statements
    cdef readonly Traces traces
    cdef public int status
    cdef readonly bint ran
    cdef readonly bint failed
    cdef public bint retrying
    cdef readonly int served
    cdef public bint forwarded
    cdef public bint flushing
    cdef public bint keeps_ready
    cdef public bytes ahead
    cdef public bint renamed
    cdef public bytes withheld
    cdef readonly double busy_since
    cdef public double xact_start

    @cython.locals(
        framer=Framer, pipeline=Pipeline, count=Py_ssize_t, number=Py_ssize_t, chunk=bytes, position=Py_ssize_t,
        done=bint, sent=bint, pieces=list, now=double, kind=int, payload=bytes, at=Py_ssize_t, ahead=bytes, skip=bint, kept=bint,
        mark=Py_ssize_t,
    )
    cdef relay(self, bytes data)
    cdef forward(self, bytes chunk, Py_ssize_t position, Py_ssize_t end, list pieces)
    cpdef flush(self)
    @cython.locals(total=double, arrived=double, wait=double, microseconds="long long")
    cdef answered(self, request, double now)
    cdef finish(self, double now)
    cdef conclude(self, note)
    cdef watch(self, bytes chunk, Py_ssize_t at)
    cdef bytes payload(self, bytes chunk, Py_ssize_t at)
