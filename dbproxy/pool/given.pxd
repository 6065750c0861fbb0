cimport cython


@cython.final
cdef class Given:
    cdef readonly dict names
    cdef public set empty
    cdef public bytes unreadable
    cdef public bint contested
    cdef public bint deallocating_all

    cdef begin_loan(self)
    cpdef end_request(self)
    cpdef forget(self, bytes name)
    cpdef clear(self)
    cpdef list take_away(self)
