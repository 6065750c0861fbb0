cimport cython

from dbproxy.cache.writes cimport Writes
from dbproxy.cache.fill cimport Fill
from dbproxy.pool.borrower cimport Borrower

cdef int COMMIT, ROLLBACK


@cython.final
cdef class Use:
    cdef readonly double since
    cdef readonly long long transactions
    cdef readonly long long statements
    cdef public long long rows
    cdef public long long chains
    cdef public long long done
    cdef readonly long long ended
    cdef readonly long long ended_at
    cdef readonly long long rolled_back
    cdef readonly long long last

    cpdef begin(self, double now)
    cpdef forget(self)
    cpdef read_tag(self, int first, int second, int third, Py_ssize_t length)
    cdef commit(self)
    cdef roll_back(self)
    cdef start(self)
    cdef end_transaction(self, long long place)
    cpdef end_request(self, bint idle)


@cython.final
cdef class Loan:
    cdef readonly Borrower client
    cdef readonly Use use
    cdef public Writes writes
    cdef public Fill fill
    cdef readonly double since
    cdef public int served
    cdef public double answered_at
    cdef public double heard_at
    cdef public double xact_start
    cdef public object request
    cdef public double stalled
    cdef public object overdue
    cdef readonly bint changed
    cdef public bint told
    cdef public bint keeps_ready
    cdef public bint cancels_later

    cpdef begin(self, Borrower client, bint changed, double now)
    cpdef Borrower end(self)
