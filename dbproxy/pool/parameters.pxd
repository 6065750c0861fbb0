cdef class Parameters:
    cdef readonly dict values
    cdef readonly bint hasty
    cdef public object reported
    cdef object __weakref__
