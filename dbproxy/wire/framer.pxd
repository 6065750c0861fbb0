cimport cython

cdef int HEADER


cdef class Rules:
    cdef readonly long long[256] needs
    cdef readonly long long[256] limits


cdef class Framer:
    cdef readonly Rules rules
    cdef readonly bytes chunk
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t end
    cdef readonly Py_ssize_t left
    cdef bytearray held
    cdef readonly Py_ssize_t held_size
    cdef Py_ssize_t wanted

    cpdef list feed(self, bytes data)

    @cython.locals(
        rules=Rules, marks=list, buffer="const unsigned char *", size=Py_ssize_t, position=Py_ssize_t,
        available=Py_ssize_t, kind=int, length="long long", need="long long", whole="long long",
    )
    cdef list mark(self, bytes data)

    cdef refuse(self, int kind, long long length)
