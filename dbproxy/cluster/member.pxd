cimport cython


@cython.final
cdef class Position:
    cdef public bint told
    cdef public long long lsn, timeline, ceiling, followed


@cython.final
cdef class Load:
    cdef public long long active, reads
    cdef public double latency, latency_at, share, turn, p99, answered_at


@cython.final
cdef class Member:
    cdef public str name
    cdef public object url
    cdef public long long weight
    cdef public str role, state, order
    cdef public double since, moved_at
    cdef public object due, health, lag
    cdef readonly Position position
    cdef readonly Load load
    cdef public long long server
    cdef public set servers
    cdef public bint fenced, alarmed
    cdef public str loaded
    cdef public set differing
