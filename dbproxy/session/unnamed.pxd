cimport cython

from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Unnamed:
    cdef public bytes body
    cdef public Shape shape
    cdef readonly object scope
    cdef public object told
    cdef public bint changed
    cdef public bytes portal_columns

    cpdef become(self, bytes body, Shape shape, scope)
