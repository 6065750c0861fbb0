cimport cython

from dbproxy.session.said cimport Said
from dbproxy.wire.due cimport Due


@cython.final
cdef class Series:
    cdef public bint begun
    cdef public bint executes
    cdef public bint waits
    cdef public Due bound
    cdef public list restores
    cdef public object restored
    cdef readonly Said said

    cpdef end(self)
