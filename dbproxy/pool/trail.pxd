cimport cython

from dbproxy.pool.borrower cimport Borrower


@cython.final
cdef class Trail:
    cdef public Borrower last
    cdef readonly double left_at
    cdef public Borrower notifier
    cdef public Borrower claimed_by

    cpdef bint follow(self, Borrower client, double left_at) except -1
