cimport cython

from dbproxy.net.direct cimport monotonic


@cython.final
cdef class Backend:
    cdef public unsigned int pid
    cdef public bytes key
    cdef public str address
    cdef public tuple endpoint
    cdef public object tls
    cdef public double connected_at
    cdef readonly dict parameters
    cdef public object mailbox
