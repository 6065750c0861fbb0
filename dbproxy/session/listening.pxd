cimport cython

from dbproxy.session.uncommitted cimport Uncommitted


@cython.final
cdef class Listening:
    cdef readonly object client
    cdef readonly object house
    cdef readonly object hub
    cdef readonly frozenset channels
    cdef readonly Uncommitted uncommitted
    cdef readonly bint hearing
    cdef readonly frozenset reached
    cdef public bint notifies
    cdef readonly bint notified
