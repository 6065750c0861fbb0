cimport cython

from dbproxy.cache.case cimport Case
from dbproxy.cache.fence cimport Fence
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Cases:
    cdef readonly str database
    cdef readonly str user
    cdef public Fence fence
    cdef readonly double ttl
    cdef readonly tuple rules
    cdef readonly dict known
    cdef readonly set quarantined

    @cython.locals(case=Case)
    cpdef Case find(self, Shape shape)
    cpdef bint is_followed(self, Case case) except -1
