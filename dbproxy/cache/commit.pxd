cimport cython

cdef long long UNKNOWN


@cython.final
cdef class LastCommit:
    cdef readonly long long position
    cdef readonly Py_ssize_t pending
    cdef public double lost_at
    cdef public long long awaited

    cpdef begin(self)
    cpdef end(self, long long position)
    cpdef lose(self, double now)
    cpdef follow(self, LastCommit other)
    cpdef turn(self, long long base)
    cpdef Py_ssize_t find(self, long long known, double known_for) except -1


@cython.final
cdef class Unplaced:
    cdef readonly list commits

    cpdef add(self, LastCommit commit)
    @cython.locals(commit=LastCommit)
    cpdef place(self, long long position)
    @cython.locals(commit=LastCommit)
    cpdef lose(self, double now)
