from dbproxy.pool.server cimport Server
from dbproxy.session.judging cimport Judge
from dbproxy.wire.extended cimport cut
from dbproxy.wire.framer cimport Framer

cdef int BATCH_LIMIT


cdef class Mover(Judge):
    cdef readonly object host
    cdef list batch
    cdef readonly list reads
    cdef readonly int answered
    cdef readonly bint moving
    cdef readonly object opening
    cdef readonly list repeats

    cdef keep(self, Framer framer, Py_ssize_t index)
