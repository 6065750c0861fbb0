cimport cython

from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.states cimport Member
from dbproxy.pool.supply cimport Supply

cdef double QUIET
cdef int ACTIVE, BEING_CANCELED, IDLE


cdef class Pool(Supply):
    cdef readonly object cancel

    @cython.locals(server=Member, claimed_by=Borrower)
    cpdef checkout(self, Borrower client, double now)
    @cython.locals(client=Borrower)
    cpdef checkin(self, Member server, double now)
