cdef class Parameters:
    cdef readonly dict values
    cdef readonly Py_ssize_t size
    cdef readonly bint hasty
    cdef readonly dict plain
    cdef readonly list roles
    cdef public object reported
    cdef public bytes cache_key
    cdef public object trace
    cdef object __weakref__
