cimport cython

from dbproxy.sql.likeness cimport Likenesses
from dbproxy.sql.shape cimport shape

@cython.final
cdef class Generations:
    cdef readonly Py_ssize_t size, bytes
    cdef readonly dict young, old

    cpdef object find(self, bytes key)
    cpdef object add(self, bytes key, object statement)

@cython.final
cdef class StatementCache:
    cdef readonly Py_ssize_t parse_limit
    cdef readonly Likenesses alike
    cdef readonly Generations texts, shapes

    cpdef object find(self, bytes text, bint backslashes=*)
    cpdef dict find_texts(self, set ids)
    cdef object _find_by_shape(self, bytes text, bint backslashes)
