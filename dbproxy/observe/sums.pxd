cimport cython

from dbproxy.observe.histogram cimport Histogram


@cython.final
cdef class Sums:
    cdef readonly long long calls, rows, bytes_sent, errors, lost
    cdef readonly long long total_us, min_us, max_us, wait_us, stall_us
    cdef readonly dict states
    cdef readonly Histogram direct, total, run, wait, stall

    cpdef bint add(self, long long total, long long wait, long long stall, long long rows, long long bytes_sent) except -1
    cpdef fail(self, str sqlstate)
    @cython.locals(larger=bint)
    cdef bint spread(self, long long total, long long wait, long long stall) except -1
    cpdef merge(self, Sums other)
    cdef enclose(self, long long least, long long most)
    cpdef bytes pack(self)
    @cython.locals(number=Py_ssize_t, at=Py_ssize_t)
    cpdef unpack(self, bytes data)
    cdef Histogram histogram(self, Py_ssize_t number)


cdef bytes pack_pairs(list pairs)
@cython.locals(buffer="const unsigned char *", number=Py_ssize_t, index=Py_ssize_t, size="unsigned long long")
cdef Py_ssize_t unpack_pairs(Histogram histogram, bytes data, Py_ssize_t at, Py_ssize_t count) except -1
