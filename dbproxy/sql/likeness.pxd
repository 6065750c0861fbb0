cimport cython

from dbproxy.sql.identity cimport Shape
from dbproxy.sql.shape cimport find_pattern

cdef int NUMBER, SLOTS, STRING, TAG
cdef int _ZERO, _NINE, _QUOTE, _STAR, _BACKSLASH


@cython.final
cdef class Likeness:
    cdef readonly bytes head
    cdef readonly bytes tail
    cdef readonly Shape shape

    @cython.locals(text="const unsigned char *", end=Py_ssize_t)
    cpdef bint covers(self, bytes chunk, Py_ssize_t start, Py_ssize_t stop) except -1


@cython.final
cdef class Likenesses:
    cdef readonly list slots
    cdef readonly Likeness last

    @cython.locals(likeness=Likeness)
    cpdef Shape find(self, bytes chunk, Py_ssize_t start, Py_ssize_t stop)
    cpdef object add(self, bytes text, Shape shape)


@cython.locals(
    wanted="const unsigned char *", text="const unsigned char *", at=Py_ssize_t, i=Py_ssize_t, size=Py_ssize_t,
    byte=int,
)
cpdef bint fits(bytes pattern, bytes chunk, Py_ssize_t start, Py_ssize_t stop) except -1

@cython.locals(text="const unsigned char *", at=Py_ssize_t, byte=int, hashed="unsigned int", quoted=bint)
cpdef int place(bytes chunk, Py_ssize_t start, Py_ssize_t stop) except -1
