cimport cython

from dbproxy.wire.extended cimport cut, length_at

cdef int FOLLOW, HEAD, IGNORE, KEPT, NOT_ASKED, PASSED, RATIO, SAMPLED, TAGGED, TAIL
cdef int _SLASH, _STAR


@cython.final
cdef class Sampler:
    cdef readonly object listener
    cdef readonly object bound
    cdef readonly double share
    cdef readonly long long skip
    cdef readonly int parent
    cdef readonly bint keeps_failed
    cdef readonly bint keeps_slow
    cdef readonly long long in_comments
    cdef readonly long long in_settings
    cdef readonly long long in_names
    cdef readonly long long invalid_comments
    cdef readonly long long invalid_settings

    @cython.locals(kept=int, found=int)
    cpdef int choose(self, bytes chunk, Py_ssize_t at, settings, bint slow, bint failed) except -2
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
    cdef bint has_comment(self, bytes chunk, Py_ssize_t at)
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
    cdef int judge_text(self, bytes chunk, Py_ssize_t at) except -2


@cython.locals(buffer="const unsigned char *")
cdef bint find_comment(bytes chunk, Py_ssize_t i, Py_ssize_t stop)
