cimport cython

from dbproxy.net.direct cimport receive, send_now
from dbproxy.net.poller cimport Poller, Watcher

cdef int CLOSING, ENDED, HIGH, LOST, LOW, OPEN, READABLE, WRITABLE


cdef class Receiver:
    cpdef data_received(self, bytes data)


@cython.final
cdef class Transport(Watcher):
    cdef object loop
    cdef Poller poller
    cdef object sock
    cdef readonly int fd
    cdef object protocol
    cdef Receiver receiver
    cdef readonly object peername
    cdef bytearray backlog
    cdef int events
    cdef bint reading
    cdef int phase
    cdef bint full
    cdef object error

    @cython.locals(wanted=int, before=int)
    cdef watch(self)
    @cython.locals(data=bytes)
    cdef read(self)
    @cython.locals(sent=Py_ssize_t)
    cpdef write(self, bytes data)
    cpdef write_later(self, bytes data)
    cdef keep(self, bytes data)
    cdef flush(self)
    cdef lose(self, error)
    cdef close_socket(self)
