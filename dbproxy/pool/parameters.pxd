cdef class Parameters:
    cdef readonly dict values
    cdef readonly bint hasty
    cdef readonly dict plain
    cdef readonly list roles
    cdef public object reported
    cdef public object trace
    cdef object __weakref__
