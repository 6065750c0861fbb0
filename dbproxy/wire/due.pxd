cdef class Due:
    cpdef bint amend_unnamed(self, object previous)
