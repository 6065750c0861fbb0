cimport cython

cdef long long _PAGE, HEADER, LONG_HEADER

@cython.locals(inside=cython.longlong)
cpdef long long settle(long long lsn) except -1
