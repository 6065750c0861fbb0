cimport cython

from dbproxy.sql.identity cimport Shape
from dbproxy.wire.due cimport Due


@cython.final
@cython.no_gc
cdef class Execution(Due):
    cdef public Shape shape
    cdef readonly Execution first
    cdef readonly bytes text
    cdef public double arrived
    cdef readonly long long limit
    cdef public long long rows
    cdef public long long bytes_sent
    cdef public long long total
    cdef public long long wait
    cdef public long long stall

    cpdef send(self, double arrived, long long limit)


@cython.locals(execution=Execution)
cpdef Execution new_execution(Shape shape, bytes text, Execution first=*)
