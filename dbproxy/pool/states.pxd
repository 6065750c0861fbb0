cimport cython

from dbproxy.net.link cimport Link
from dbproxy.pool.backend cimport Backend
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.loan cimport Loan
from dbproxy.pool.trail cimport Trail


@cython.final
cdef class Upkeep:
    cdef public int generation
    cdef public str condemned
    cdef public int cancels
    cdef public double expires_at
    cdef public double used_at
    cdef public double checked_at


cdef class Member(Link):
    cdef public object id
    cdef public int state
    cdef readonly Members members
    cdef readonly Member before
    cdef readonly Member after
    cdef readonly Upkeep upkeep
    cdef readonly Backend backend
    cdef readonly Dialogue dialogue
    cdef readonly Loan loan
    cdef readonly Trail trail

    cpdef condemn(self, str reason)
    cpdef lend(self, Borrower client, double now)
    cpdef conclude(self, audit)
    cpdef close(self, str reason, error=*)


@cython.final
cdef class Members:
    cdef readonly Member first
    cdef readonly Member last
    cdef readonly Py_ssize_t size

    @cython.locals(last=Member)
    cpdef add(self, Member server)
    @cython.locals(before=Member, after=Member)
    cpdef remove(self, Member server)
