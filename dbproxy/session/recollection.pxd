cimport cython


@cython.final
cdef class Recollection:
    cdef readonly object tenant
    cdef readonly object last
    cdef readonly dict given
    cdef readonly object server
    cdef readonly int era
    cdef readonly bint calls
