cimport cython

from dbproxy.cache.admission cimport Sightings
from dbproxy.cache.entry cimport Entry


@cython.final
cdef class Memory:
    cdef public Py_ssize_t limit
    cdef readonly Py_ssize_t size
    cdef readonly long long evicted
    cdef readonly object entries
    cdef readonly Sightings sightings

    cpdef Entry find(self, bytes key)
    cpdef use(self, Entry entry)
    @cython.locals(before=Entry)
    cpdef keep(self, Entry entry)
    @cython.locals(entry=Entry)
    cpdef drop(self, bytes key)
    @cython.locals(entry=Entry)
    cpdef shrink(self, Py_ssize_t limit)
