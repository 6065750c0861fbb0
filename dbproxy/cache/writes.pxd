cimport cython

from dbproxy.cache.commit cimport Unplaced
from dbproxy.cache.fence cimport Doubt, Fence, Footprint
from dbproxy.cache.table cimport Table
from dbproxy.cache.values cimport read_values
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Writes:
    cdef readonly Fence fence
    cdef readonly bint alters
    cdef readonly bint guesses
    cdef readonly bint closing
    cdef readonly set shapes
    cdef readonly set tables
    cdef readonly list entered
    cdef readonly Unplaced unplaced

    @cython.locals(written=Footprint)
    cpdef note(self, Shape shape, bint stays_open, bytes chunk=*, Py_ssize_t at=*, Py_ssize_t stop=*, bytes body=*)
    cdef bint tells_apart(self, Table table) except -1
    cdef take(self, Shape shape, Footprint written, list keys)
    cdef alter(self)
    @cython.locals(written=Footprint, shape=Shape, table=Table)
    cpdef judge_again(self)
    cpdef note_unseen(self)
    @cython.locals(table=Table)
    cpdef enter(self)
    @cython.locals(table=Table)
    cpdef acknowledge(self)
    @cython.locals(table=Table)
    cpdef end(self)
    @cython.locals(table=Table)
    cpdef lose(self, double now, long process)
    cdef clear(self)
