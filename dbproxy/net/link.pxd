cimport cython

from dbproxy.net.direct cimport send_now


cdef class Link:
    cdef public object transport
    cdef object is_closing
    cdef readonly int fd
    cdef bint buffered
    cdef public int reasons
    cdef public bint full
    cdef public bint closed

    cpdef attach(self, transport)
    @cython.locals(sent=Py_ssize_t)
    cpdef write(self, bytes data)
    cpdef hold(self, int reason)
    cpdef free(self, int reason)
