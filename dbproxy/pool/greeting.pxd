cimport cython


@cython.final
cdef class Greeting:
    cdef dict welcome
    cdef dict spelled

    @cython.locals(key=tuple)
    cpdef bytes spell(self, dict welcome, dict reported)
