cimport cython

from dbproxy.cluster.lag cimport settle
from dbproxy.pool.commits cimport Commits

cdef long long UNKNOWN

@cython.locals(everybody=bint, own=cython.longlong)
cpdef long long needed(str consistency, writer, Commits commits) except -1

@cython.locals(position=cython.longlong)
cpdef long long own_position(writer, Commits commits) except -1

@cython.locals(wrote_at=double)
cpdef bint is_placed(writer, Commits commits) except -1

cpdef bint too_soon(str consistency, writer, double hold, double now) except -1
