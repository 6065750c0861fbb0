cimport cython

from dbproxy.cluster.lag cimport settle
from dbproxy.pool.commits cimport Commits
from dbproxy.routing.reader cimport Reader
from dbproxy.routing.wishes cimport Wishes

cdef int SEES_ALL
cdef long long UNKNOWN

@cython.locals(everybody=bint, own=cython.longlong)
cpdef long long needed(Wishes wishes, Reader reader, Commits commits) except -1

@cython.locals(position=cython.longlong)
cpdef long long own_position(Reader reader, Commits commits) except -1

@cython.locals(wrote_at=double)
cpdef bint is_placed(Reader reader, Commits commits) except -1

cpdef bint too_soon(Wishes wishes, Reader reader, double hold, double now) except -1
