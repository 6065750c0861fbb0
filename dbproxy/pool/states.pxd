cimport cython

from dbproxy.net.link cimport Link


cdef class Member(Link):
    cdef readonly Members members
    cdef readonly Member before
    cdef readonly Member after
    cdef public int state
    cdef public int generation
    cdef public int cancels
    cdef readonly str condemned
    cdef public double expires_at
    cdef public double used_at
    cdef public double checked_at

    cpdef condemn(self, str reason)
    cpdef lend(self, client, double now)
    cpdef close(self, str reason, error=*)
    cdef public object settings
    cdef public object claimed_by


@cython.final
cdef class Members:
    cdef readonly Member first
    cdef readonly Member last
    cdef readonly Py_ssize_t size

    @cython.locals(last=Member)
    cpdef add(self, Member server)
    @cython.locals(before=Member, after=Member)
    cpdef remove(self, Member server)
