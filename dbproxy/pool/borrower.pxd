from dbproxy.net.link cimport Link
from dbproxy.pool.news cimport News


cdef class Borrower(Link):
    cdef public object settings
    cdef public bint routed
    cdef readonly News news

    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
