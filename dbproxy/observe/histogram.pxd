cimport cython

cdef int FRACTION, LAST, ROW
cdef long long LONGEST


@cython.locals(octave="long long", rest="long long")
cpdef Py_ssize_t find_bucket(long long microseconds) noexcept


cdef list MIDDLES


@cython.locals(value=double, total=double, squares=double)
cpdef double find_deviation(pairs) except -1


@cython.final
cdef class Histogram:
    cdef readonly Py_ssize_t first
    cdef readonly Py_ssize_t size
    cdef unsigned long long[::1] counts

    @cython.locals(index=Py_ssize_t, place=Py_ssize_t)
    cpdef bint add(self, long long microseconds) except -1
    cdef reach(self, Py_ssize_t lowest, Py_ssize_t highest)
    @cython.locals(index=Py_ssize_t, shift=Py_ssize_t)
    cpdef merge(self, Histogram other)
    @cython.locals(index=Py_ssize_t)
    cpdef list pairs(self)
    cpdef put(self, Py_ssize_t index, unsigned long long count)
