cdef class Link:
    cdef public object transport
    cdef public int reasons
    cdef public bint full
    cdef public bint closed

    cpdef write(self, data)
    cpdef hold(self, int reason)
    cpdef free(self, int reason)
