cimport cython


cdef int LAST_OCTAVE


@cython.locals(octave=int)
cpdef int bucket(long long microseconds) noexcept


@cython.final
cdef class PoolStats:
    cdef public long long xact_count
    cdef public long long query_count
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long xact_time_us
    cdef public long long query_time_us
    cdef public long long wait_time_us
    cdef public long long server_assignment_count
    cdef public long long client_parse_count
    cdef public long long server_parse_count
    cdef public long long bind_count
    cdef public long long login_count
    cdef public long long slow_query_count
    cdef public long long error_count
    cdef public long long audit_count
    cdef public long long replay_count
    cdef readonly object pin_counts
    cdef readonly object refused_pin_counts
    cdef readonly object refusals
    cdef readonly object limits
    cdef readonly long long[45] query_buckets
    cdef readonly long long[45] xact_buckets
    cdef readonly long long[45] wait_buckets

    cpdef query(self, long long microseconds)
    cpdef xact(self, long long microseconds)
    cpdef wait(self, long long microseconds)
