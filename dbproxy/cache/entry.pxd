cimport cython

from dbproxy.cache.fence cimport Fence
from dbproxy.cache.table cimport Table
from dbproxy.cache.value cimport Value
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Moment:
    cdef readonly Fence fence
    cdef readonly list tables
    cdef readonly long long whole
    cdef readonly list generations

    @cython.locals(table=Table, number=Py_ssize_t, then="long long")
    cpdef bint is_unchanged(self) except -1
    @cython.locals(table=Table)
    cpdef bint was_over_by(self, double time) except -1
    @cython.locals(table=Table)
    cpdef bint is_current(self) except -1


@cython.final
cdef class Entry:
    cdef readonly bytes key
    cdef readonly Value value
    cdef readonly Moment moment
    cdef readonly Shape shape
    cdef readonly double cost
    cdef readonly double expires_at
    cdef public Py_ssize_t hits
    cdef readonly Py_ssize_t size
