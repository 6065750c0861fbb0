cdef class Statement:
    cdef readonly bytes body
    cdef public bytes name
    cdef public bint parsed
    cdef public object columns
    cdef readonly object effects
