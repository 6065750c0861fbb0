cimport cython


@cython.final
cdef class Uncommitted:
    cdef readonly set wanted
    cdef public set unwanted
    cdef readonly bint tentative
    cdef readonly bint doubtful
    cdef readonly list early
    cdef readonly list late
    cdef readonly str mark
