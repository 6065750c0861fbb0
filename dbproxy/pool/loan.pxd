cimport cython

from dbproxy.pool.borrower cimport Borrower


@cython.final
cdef class Loan:
    cdef readonly Borrower client
    cdef readonly double since
    cdef public int served
    cdef public double answered_at
    cdef public double heard_at
    cdef public double xact_start
    cdef public object request
    cdef public double stalled
    cdef readonly bint changed
    cdef public bint told
    cdef public bint keeps_ready
    cdef public bint cancels_later

    cpdef begin(self, Borrower client, bint changed, double now)
    cpdef Borrower end(self)
