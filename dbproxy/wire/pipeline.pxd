cimport cython


cdef class Pipeline:
    cdef readonly list due
    cdef readonly list notes
    cdef readonly Py_ssize_t head
    cdef readonly Py_ssize_t fakes
    cdef readonly object ended
    cdef readonly bint ignoring
    cdef readonly bint copying

    cpdef bint empty(self)
    cpdef expect(self, int entry, object note=*)
    cpdef bytes fake(self)
    cpdef int peek(self)
    cpdef skip_oldest(self)
    @cython.locals(entry=int)
    cpdef int receive(self, int kind) except -2
    @cython.locals(behind=Py_ssize_t)
    cpdef copy_in(self)
    cpdef list fail(self)
    cdef advance(self)
