cimport cython

from dbproxy.net.direct cimport has_news
from dbproxy.net.secure cimport Secure
from dbproxy.net.transport cimport Receiver, Transport


cdef class Link(Receiver):
    cdef public object transport
    cdef readonly Transport direct
    cdef public int reasons
    cdef public bint full
    cdef public bint closed

    cpdef attach(self, transport)
    cpdef write(self, bytes data)
    cpdef write_later(self, bytes data)
    cpdef bint has_news(self) except -1
    cpdef hold(self, int reason)
    cpdef free(self, int reason)
