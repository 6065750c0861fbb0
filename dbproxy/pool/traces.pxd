cimport cython

from dbproxy.pool.sequences cimport Sequences

cdef int AUDITED, LOCAL, SPOILS


@cython.final
cdef class Traces:
    cdef public long long effects
    cdef public set touched
    cdef public long long asked
    cdef public int tries
    cdef readonly Sequences sequences
    cdef public bint local
    cdef public frozenset pins
    cdef public bint listens
    cdef public bint has_unlisted_settings
    cdef public bint unplaced

    cdef begin_loan(self)
    cpdef note(self, long long effects)
    cpdef bint is_dirty(self)
    cpdef clear(self)
