cimport cython

from dbproxy.session.vocabulary cimport Vocabulary


@cython.final
cdef class Readings:
    cdef readonly Vocabulary own
    cdef readonly dict by_sql
    cdef readonly dict prepares
    cdef readonly dict unread
