cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server
from dbproxy.session.hearing cimport Hearer
from dbproxy.session.replay cimport Replay
from dbproxy.sql.cache cimport StatementCache
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer

cdef int BATCH_LIMIT, DETOURS, PARTNER_FULL, STATEMENT_NEED, WRITES


cdef class Routed(Hearer):
    cdef readonly Replay replay
    cdef public object router
    cdef readonly bint read_only
    cdef readonly object host
    cdef list batch
    cdef readonly list reads
    cdef readonly list judged
    cdef readonly bint moving
    cdef readonly int detours
    cdef readonly object avoided
    cdef public str wanted_host
    cdef readonly bint waited
    cdef public object awaits
    cdef readonly object position
    cdef readonly int epoch
    cdef readonly bint wrote
    cdef readonly double wrote_at
    cdef readonly bint writes

    @cython.locals(length=Py_ssize_t, classifier=StatementCache, start=Py_ssize_t, stop=Py_ssize_t)
    cdef classify(self, bytes chunk, Py_ssize_t at)
    cdef Pool choose(self, Framer framer, Py_ssize_t index)
    @cython.locals(chunk=bytes, end=Py_ssize_t, mark=Py_ssize_t, last=int, at=Py_ssize_t, name=bytes, judged=list, named=dict)
    cdef judge(self, Framer framer, Py_ssize_t index)
    @cython.locals(server=Server)
    cdef bint stays(self) except -1
    cpdef leave_host(self, double seconds)
