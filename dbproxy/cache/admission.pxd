cimport cython

cdef Py_ssize_t _BITS


@cython.final
cdef class Sightings:
    cdef readonly bytearray recent
    cdef readonly bytearray former
    cdef readonly Py_ssize_t count
    cdef readonly double turned_at

    @cython.locals(number=Py_ssize_t, place=Py_ssize_t, bit=int)
    cpdef bint note(self, bytes key, double now) except -1
    cpdef turn(self, double now)
