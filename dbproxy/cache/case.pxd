cimport cython

from dbproxy.cache.asked cimport read_keys
from dbproxy.cache.fence cimport Fence
from dbproxy.cache.table cimport Table
from dbproxy.sql.identity cimport Shape

cdef double MEMORY, SELDOM


@cython.final
cdef class Case:
    cdef readonly Shape shape
    cdef public object knowledge
    cdef public str reason
    cdef public frozenset oids
    cdef public list tables
    cdef readonly Table table
    cdef readonly tuple places
    cdef readonly list beside
    cdef public frozenset tags
    cdef public double ttl
    cdef public bint wanted
    cdef public long long hits
    cdef public long long misses
    cdef readonly double success
    cdef public double saved
    cdef public long long bypassed

    cpdef narrow(self, row, Fence fence)
    @cython.locals(keys=list)
    cpdef list find_tables(self, request)
    cpdef hit(self)
    cpdef miss(self)
    cpdef bint is_choosy(self) except -1
