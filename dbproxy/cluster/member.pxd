cimport cython


@cython.final
cdef class Member:
    cdef public str name
    cdef public object url
    cdef public long long weight
    cdef public str role, state, order
    cdef public double since
    cdef public bint heard, down, suspect, refused
    cdef public long long failures, successes
    cdef public str last_error
    cdef public double started_at, heard_at, moved_at
    cdef public bint positions
    cdef public str loaded
    cdef public set differing
    cdef public long long server, lsn, timeline, ceiling, followed, lag_bytes
    cdef public double lag_seconds
    cdef public bint late, lagging, fenced, alarmed
    cdef public object due
    cdef public set servers
    cdef public long long active, reads
    cdef public double latency, latency_at, share, turn
