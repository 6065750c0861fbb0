cimport cython


@cython.final
cdef class Routines:
    cdef readonly dict known
    cdef readonly dict defined
    cdef public double read_at
    cdef public bint sets_unseen
