cimport cython


@cython.final
cdef class Habits:
    cdef readonly long long loops
    cdef readonly long long longest_loop
    cdef readonly long long lone_reads
    cdef readonly long long idle_count
    cdef readonly long long idle_us
    cdef readonly long long longest_idle_us
    cdef readonly long long texts
    cdef readonly long long large_results
    cdef readonly long long largest_result
    cdef set sampled
    cdef int samples

    cpdef note_loop(self, long long times)
    cpdef note_lone_read(self)
    cpdef note_idle(self, long long microseconds)
    cpdef note_large(self, long long rows)
    cpdef note_text(self, Py_ssize_t hashed)
