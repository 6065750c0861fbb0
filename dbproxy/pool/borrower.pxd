from dbproxy.net.link cimport Link


cdef class Borrower(Link):
    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
