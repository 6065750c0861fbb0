cimport cython


@cython.final
cdef class Arm:
    cdef readonly str name
    cdef public int mode
    cdef readonly long long requests
    cdef readonly long long errors
    cdef readonly long long microseconds

    cpdef count(self, long long microseconds, bint failed)


@cython.final
cdef class Stand:
    cdef readonly int version
    cdef readonly Arm arm
    cdef readonly int mode


@cython.final
cdef class Feature:
    cdef readonly str name
    cdef readonly Arm treated
    cdef readonly Arm control
    cdef readonly int percent
    cdef readonly int version
