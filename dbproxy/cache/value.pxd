cimport cython

from dbproxy.wire.extended cimport length_at

cdef int HEAD, COLUMNS, ROWS, DONE, OVER


@cython.final
cdef class Value:
    cdef readonly bytes columns
    cdef readonly bytes rows

    cpdef Py_ssize_t size(self)
    @cython.locals(kind=int, pieces=list)
    cpdef bytes spell(self, bytes kinds)


@cython.locals(at=Py_ssize_t, stop=Py_ssize_t, size=Py_ssize_t, told=Py_ssize_t, rows=Py_ssize_t, end=Py_ssize_t, stage=int, kind=int, columns=bytes)
cpdef object read_answer(bytes data)
@cython.locals(at=Py_ssize_t)
cpdef bytes list_kinds(bytes data)
