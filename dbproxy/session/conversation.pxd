cimport cython


@cython.final
cdef class Conversation:
    cdef object work
    cdef object awaited
    cdef readonly bint over
