cimport cython

cdef int ADVANCES, AUDITED, LOCAL, SPOILS


@cython.final
cdef class Traces:
    cdef public int effects
    cdef public set touched
    cdef public int asked
    cdef public int tries
    cdef public int seen
    cdef public frozenset pins
    cdef public bint listens
    cdef public bint has_unlisted_settings
    cdef public bint unplaced

    cdef begin_loan(self)
    cpdef note(self, int effects)
    cpdef bint is_local(self)
    cpdef bint is_dirty(self)
    cpdef clear(self)
