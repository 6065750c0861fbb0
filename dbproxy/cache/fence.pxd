cimport cython

from dbproxy.cache.table cimport Table
from dbproxy.net.direct cimport monotonic
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Footprint:
    cdef readonly list tables
    cdef readonly list beside
    cdef readonly Table table
    cdef readonly tuple places

    cpdef narrow(self, Table table, tuple places)


cdef Footprint NO_FOOTPRINT


@cython.final
cdef class Reach:
    cdef readonly long long version
    cdef readonly Footprint written
    cdef public list read
    cdef public bint asked


@cython.final
cdef class Doubt:
    cdef readonly list tables
    cdef readonly bint alters
    cdef readonly long process
    cdef readonly double until


@cython.final
cdef class Fence:
    cdef readonly Table whole
    cdef readonly dict tables
    cdef readonly long long dropped
    cdef readonly Footprint everything
    cdef readonly object marks
    cdef readonly object sources
    cdef readonly object knowledge
    cdef readonly long long version
    cdef public long long alterations
    cdef readonly long long known_at
    cdef public bint sees
    cdef public object followed
    cdef readonly set writers
    cdef readonly set unjudged
    cdef readonly list doubts

    cpdef bint knows(self)
    cpdef learn(self, object knowledge, long long alterations)
    @cython.locals(table=Table)
    cdef leave_out(self, object names)
    cpdef forget(self)
    cpdef keep_unjudged(self, set shapes)
    cpdef Table find(self, long long oid)
    cpdef Footprint find_written(self, Shape shape)
    cpdef Table find_mark(self, str name)
    cpdef bint invalidate_mark(self, str name) except -1
    cpdef Footprint judge(self, Shape shape)
    cdef Reach find_reach(self, Shape shape)
    cpdef Footprint look_up(self, Shape shape)
    @cython.locals(reach=Reach)
    cpdef list find_read(self, Shape shape)
    cpdef turn(self, long long base)
    cpdef invalidate(self, object oids, str source=*)
    @cython.locals(doubt=Doubt, table=Table)
    cpdef settle(self, double now, object processes, bint own)


cpdef bint is_idle(Shape shape) except -1
