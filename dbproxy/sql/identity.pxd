cimport cython


@cython.final
cdef class Shape:
    cdef readonly object hash
    cdef readonly str text
    cdef readonly object effects
    cdef readonly bint harmless
    cdef readonly bint hinted
    cdef readonly bint begins
    cdef readonly Shape base
    cdef readonly object access
    cdef readonly str kind
    cdef readonly object relations
    cdef readonly object targets
    cdef readonly object functions
    cdef readonly bint ends_transaction
    cdef readonly object rows
    cdef public Py_ssize_t calls
    cdef public str verdict
    cdef public long long judged_in
    cdef public object reach
    cdef public object statistics
    cdef object __weakref__

    cpdef Shape identity(self)
    cpdef count(self)
