cimport cython

from dbproxy.sql.comments cimport cut_comments
from dbproxy.sql.identity cimport Shape
from dbproxy.sql.likeness cimport Likenesses
from dbproxy.sql.shape cimport shape

cdef Py_ssize_t _SHORT


@cython.final
cdef class Generations:
    cdef readonly Py_ssize_t size, bytes
    cdef readonly dict young, old

    cpdef Shape find(self, bytes key)
    cpdef object add(self, bytes key, Shape found)

@cython.final
cdef class StatementCache:
    cdef readonly Py_ssize_t parse_limit
    cdef readonly Likenesses alike
    cdef readonly Generations texts, shapes, unread
    cdef readonly object known
    cdef object __weakref__

    @cython.locals(found=Shape, plain=bytes)
    cpdef Shape find(self, bytes text, bint backslashes=*)
    cpdef Shape find_long(self, bytes head, bytes tail, Py_ssize_t size)
    @cython.locals(found=Shape)
    cdef Shape _find_text(self, bytes text, bint backslashes)
    @cython.locals(found=Shape, key=bytes)
    cdef Shape _find_by_shape(self, bytes text, bint backslashes)
    cdef Shape _find_ambiguous(self, bytes text)
    @cython.locals(found=Shape)
    cdef Shape _recall(self, Generations kept, bytes key)
    cdef Shape _add(self, Generations kept, bytes key, bytes text, effects, access)
