from dbproxy.net.link cimport Link


cdef class Borrower(Link):
    cdef public object settings
    cdef public bint by_hub
    cdef public bint routed
    cdef readonly list news
    cdef readonly dict reported
    cdef readonly dict unreported

    cpdef serve(self, server, double now)
    cpdef refuse(self, error)
    cpdef reply(self, bytes data)
    cpdef bint finished(self, int status) except -1
