cimport cython

from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.loan cimport Loan
from dbproxy.pool.states cimport Member
from dbproxy.pool.tenant cimport Tenant


@cython.final
cdef class Answer:
    cdef readonly Member server
    cdef readonly Tenant tenant
    cdef readonly Dialogue dialogue
    cdef readonly Loan loan
    cdef public bytes ahead
    cdef public bytes instead
    cdef public bytes withheld
    cdef public bint forwarded
    cdef public bint sent
    cdef public bint flushing
    cdef public bint retrying

    cpdef begin_loan(self)
