cimport cython


@cython.final
cdef class Traces:
    cdef public int effects
    cdef public set touched
    cdef public int asked
    cdef public int tries
    cdef public frozenset pins
    cdef public bint listens
    cdef public dict named
    cdef public set hollow
    cdef public bytes unreadable
    cdef public bint contested
    cdef public bint swept
    cdef public bint local
    cdef public bint advanced
    cdef public bint murky
    cdef public bint unplaced
    cdef public bint spoiled

    cdef begin_loan(self)
    cpdef end_request(self)
    cpdef bint dirty(self)
    cpdef clear(self)
