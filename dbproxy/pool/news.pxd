cimport cython


@cython.final
cdef class News:
    cdef readonly dict reported
    cdef readonly dict unreported
    cdef readonly list messages

    cpdef bint any(self)
