from dbproxy.sql.identity cimport Shape


cdef class Statement:
    cdef readonly bytes body
    cdef public bytes name
    cdef public bint parsed
    cdef public object columns
    cdef readonly Shape shape
    cdef readonly object effects
