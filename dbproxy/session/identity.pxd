cimport cython

from dbproxy.pool.parameters cimport Parameters


@cython.final
cdef class Identity:
    cdef public long long id
    cdef public double connected_at
    cdef public double connect_time
    cdef public long long max_message_size
    cdef public bint read_only
    cdef public object pid
    cdef public bytes key
    cdef public str address
    cdef public object port
    cdef public str user
    cdef public str database
    cdef public str application_name
    cdef public Parameters settings
    cdef public object peer
