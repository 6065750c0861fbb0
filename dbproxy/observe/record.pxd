cimport cython

from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Facts:
    cdef public str sqlstate
    cdef public long long rows
    cdef public long long affected
    cdef public Py_ssize_t batch
    cdef public double wait
    cdef public str address
    cdef public int port
    cdef public str host
    cdef public str role
    cdef public double lag
    cdef public str reason
    cdef public object rescue
    cdef public frozenset pins
    cdef public bint prepared
    cdef public bint executes
    cdef public bint aged


@cython.final
cdef class Record:
    cdef readonly int chosen
    cdef readonly Facts facts
    cdef public bytes text
    cdef public object context
    cdef public Shape shape
    cdef public str database
    cdef public str user
    cdef public long long client
    cdef public double arrived
    cdef public long long microseconds
    cdef public bint failed
