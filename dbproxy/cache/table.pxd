cimport cython

from dbproxy.cache.commit cimport LastCommit
from dbproxy.net.direct cimport monotonic


@cython.final
cdef class Table:
    cdef readonly long long oid
    cdef readonly Py_ssize_t committing
    cdef readonly long long generation
    cdef readonly double left_at
    cdef readonly Table beside
    cdef readonly dict cells
    cdef readonly LastCommit last
    cdef object __weakref__

    cpdef enter(self)
    cpdef leave(self)
    cpdef renew(self)
    cpdef bint is_untouched(self)
    @cython.locals(number=Py_ssize_t, cell=Table)
    cpdef Table find_cell(self, key)
