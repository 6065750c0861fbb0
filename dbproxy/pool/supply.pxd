from dbproxy.pool.states cimport Member, Members
from dbproxy.pool.tenant cimport Tenant
from dbproxy.pool.waiting cimport Waiting

cdef int CLOSED, IDLE, LOGIN


cdef class Supply:
    cdef readonly Tenant tenant
    cdef readonly object share
    cdef readonly object host
    cdef public bint moves
    cdef readonly object launch
    cdef readonly list lists
    cdef readonly Members idle
    cdef readonly Members active
    cdef readonly Waiting waiting
    cdef public dict welcome
    cdef readonly object defaults
    cdef public bint paused
    cdef readonly int generation
    cdef readonly str retired_for
    cdef public int opening
    cdef readonly set attempts
    cdef readonly int failures
    cdef public double retry_at
    cdef public object last_error
    cdef public double told_at

    cpdef Py_ssize_t size(self) except -1
    cpdef bint is_shut(self, double now) except -1
    cpdef leave(self, client)
    cpdef checkin(self, Member server, double now)
    cpdef move(self, Member server, int state)
    cpdef open_more(self, double now)
    cpdef Py_ssize_t missing(self, double now) except -1
