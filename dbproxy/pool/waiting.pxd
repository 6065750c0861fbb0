cimport cython


@cython.final
cdef class Turn:
    cdef readonly str key
    cdef public int weight
    cdef public int left
    cdef readonly object clients


@cython.final
cdef class Turns:
    cdef readonly object queues
    cdef readonly dict places


@cython.final
cdef class Waiting:
    cdef readonly object since
    cdef readonly Turns turns

    cdef bint any(self) except -1
