from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.server cimport Server


cdef class Question(Borrower):
    cdef readonly Pool pool
    cdef object answered
    cdef readonly Server server
    cdef bytes query
    cdef list said
    cdef bytes before
    cdef object answer

    cpdef ask(self, bytes query)
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
    cpdef hold(self, int reason)
    cpdef read(self)
