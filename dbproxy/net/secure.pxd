from dbproxy.net.direct cimport has_news
from dbproxy.net.transport cimport Receiver, Transport

cdef int CLOSED, ENDED, OPEN, RECORD, SHAKING


cdef class Secure(Receiver):
    cdef object incoming
    cdef object outgoing
    cdef readonly object line
    cdef object loop
    cdef readonly object shaken
    cdef Transport transport
    cdef object protocol
    cdef Receiver receiver
    cdef int phase
    cdef object certificate
    cdef object error

    cdef read(self)
    cpdef write(self, bytes data)
    cpdef bint has_news(self) except -1
