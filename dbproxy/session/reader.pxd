cimport cython

from dbproxy.session.connection cimport Connection


@cython.final
cdef class Reader:
    cdef readonly Connection client
    cdef readonly bint read_only
    cdef public str wanted_host
    cdef public object avoided
    cdef public bint waited
    cdef public long long awaits
    cdef readonly long long position
    cdef readonly int epoch
    cdef public double wrote_at

    cpdef forget_detours(self)
