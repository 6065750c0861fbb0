cimport cython

from dbproxy.cache.commit cimport LastCommit
from dbproxy.cache.fence cimport Fence
from dbproxy.cluster.lag cimport settle
from dbproxy.pool.commits cimport Commits
from dbproxy.routing.reader cimport Reader
from dbproxy.routing.wishes cimport Wishes
from dbproxy.sql.identity cimport Shape

cdef int SEES_ALL
cdef long long UNKNOWN

@cython.locals(everybody=bint, own=cython.longlong)
cpdef long long needed(Wishes wishes, Reader reader, Commits commits) except -1

@cython.locals(lsn=cython.longlong, position=Py_ssize_t, shape=Shape, read=list, commit=LastCommit)
cpdef Py_ssize_t needed_for(tuple asked, Fence fence, Commits commits) except? -1

@cython.locals(position=cython.longlong)
cpdef long long own_position(Reader reader, Commits commits) except -1

@cython.locals(wrote_at=double)
cpdef bint is_placed(Reader reader, Commits commits) except -1

cpdef bint too_soon(Wishes wishes, Reader reader, double hold, double now) except -1
