cimport cython

from dbproxy.cache.fill cimport Fill
from dbproxy.observe.record cimport Facts
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport statement_text


@cython.final
cdef class Query:
    cdef readonly object session
    cdef readonly Shape shape
    cdef public bytes chunk
    cdef public Py_ssize_t at
    cdef readonly double arrived
    cdef public bytes kinds
    cdef public bytes messages
    cdef public bint whole
    cdef public Fill fill
    cdef public bint waited
    cdef public bint looked
    cdef readonly double browses_by
    cdef public long long microseconds
    cdef public bint failed
    cdef public int chosen
    cdef public Facts facts

    cpdef browse(self, double seen_by)
    cpdef bytes read_text(self)
