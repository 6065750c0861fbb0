cimport cython


@cython.final
cdef class Bucket:
    cdef readonly long long number
    cdef readonly long long period
    cdef readonly long long interval
    cdef readonly long long capacity
    cdef public long long tat
    cdef public long long reserve
    cdef public long long warns_from

    @cython.locals(number=object)  # the product may not fit
    cpdef Py_ssize_t span(self, tokens) except -1
    @cython.locals(used="long long", over="long long")
    cpdef long long wait(self, long long now, long long span) noexcept
    cpdef take(self, long long now, long long span)
    cpdef owe(self, long long now, long long span)
    cpdef give(self, long long span)
    @cython.locals(there=object)
    cpdef left(self, long long now)
    @cython.locals(gone=object)
    cpdef used(self, long long now)
    cpdef bint is_full(self, long long now) noexcept
    @cython.locals(used=object)
    cpdef take_over(self, Bucket other, long long now)
