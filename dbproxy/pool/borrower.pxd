from dbproxy.net.link cimport Link
from dbproxy.pool.news cimport News
from dbproxy.pool.request cimport Request


cdef class Borrower(Link):
    cdef public object settings
    cdef public bint routed
    cdef readonly News news

    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
    cpdef request_over(self, Request request, long long microseconds, bint failed)
