cimport cython

from dbproxy.wire.due cimport Due

cdef int KEPT, _HALF, _HALVES

cdef bint ends(int reply, int entry)
cdef bint is_strict(int reply)


@cython.final
cdef class Pipeline:
    cdef readonly list due
    cdef readonly list notes
    cdef readonly Py_ssize_t head
    cdef readonly Py_ssize_t fakes
    cdef readonly object ended
    cdef readonly bint ignoring
    cdef readonly bint copying
    cdef readonly bint unsure
    cdef readonly Py_ssize_t halves

    cpdef bint empty(self)
    cpdef expect(self, int kind, Due note=*)
    cpdef skip(self, int kind, Due note=*)
    cpdef expect_halves(self, int kind, Due note)
    cpdef fake(self, int kind, Due note=*)
    cdef bint owes(self, int kind)
    @cython.locals(entry=int)
    cpdef bint receive(self, int reply) except -1
    cpdef bytes take_fakes(self)
    cpdef int peek(self)
    cpdef bint is_ours(self)
    cpdef Due last_note(self)
    @cython.locals(place=Py_ssize_t)
    cpdef Due failing_note(self)
    cpdef list notes_of(self, int kind)
    cpdef skip_oldest(self)
    @cython.locals(behind=Py_ssize_t)
    cpdef copy_in(self)
    @cython.locals(last=Py_ssize_t)
    cpdef bint will_end(self)
    cpdef list fail(self)
    cdef advance(self)
