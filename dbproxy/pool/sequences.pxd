cimport cython


@cython.final
cdef class Sequences:
    cdef public bint advanced
    cdef public bint known
    cdef public bint foreign

    cdef begin_loan(self)
    cpdef advance(self)
    cpdef forget(self)
