cimport cython

cdef bint COMPILED
cdef int FEW, HEADER


@cython.final
cdef class Rules:
    cdef readonly long long[256] needs
    cdef readonly long long[256] limits


@cython.final
cdef class Framer:
    cdef readonly Rules rules
    cdef readonly bytes chunk
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t[16] first
    cdef list more
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t end
    cdef readonly Py_ssize_t left
    cdef bytearray held
    cdef readonly Py_ssize_t held_size
    cdef Py_ssize_t wanted

    cpdef bytes cut(self, Py_ssize_t at)
    @cython.locals(start=Py_ssize_t)
    cpdef bytes bytes_from(self, Py_ssize_t number)
    cpdef list feed(self, bytes data)
    cpdef Py_ssize_t mark_at(self, Py_ssize_t number) except -1
    cpdef Py_ssize_t scan(self, bytes data) except -1

    @cython.locals(
        rules=Rules, buffer="const unsigned char *", size=Py_ssize_t, position=Py_ssize_t, available=Py_ssize_t,
        kind=int, length="long long", need="long long", whole="long long",
    )
    cdef walk(self, bytes data)

    cdef refuse(self, int kind, long long length)
