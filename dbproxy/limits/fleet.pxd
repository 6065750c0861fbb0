cimport cython


@cython.final
cdef class Fleet:
    cdef public bint graceful
    cdef public long long proxies
    cdef readonly bint degraded
    cdef readonly int lacking
