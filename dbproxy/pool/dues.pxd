cimport cython

from dbproxy.pool.answer cimport Answer
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.prepared cimport Statement
from dbproxy.wire.due cimport Due
from dbproxy.wire.extended cimport length_at

cdef int FAKE


cdef class Sent(Due):
    cpdef done(self, Answer answer)
    cpdef described(self, Answer answer, Py_ssize_t columns, Py_ssize_t full)
    cpdef dropped(self, Answer answer, int entry, bint first)
    cpdef take_back(self, Borrower client)


@cython.no_gc
cdef class Mention(Sent):
    cdef readonly bytes name
    cdef readonly bytes server_name
    cdef readonly Statement statement
    cdef public object refusal

    cpdef bint tells_columns(self) except -1


@cython.final
@cython.no_gc
cdef class Parse(Mention):
    cdef readonly object previous


@cython.locals(due=Parse)
cpdef Parse new_parse(bytes name, object previous, bytes server_name, Statement statement)


@cython.final
@cython.no_gc
cdef class Bind(Mention):
    cdef readonly bint told


@cython.locals(due=Bind)
cpdef Bind new_bind(bytes name, bytes server_name, Statement statement, bint told=*)


@cython.final
@cython.no_gc
cdef class Describe(Mention):
    pass


@cython.final
cdef class DescribeUnnamed(Sent):
    cdef readonly bint renewed


@cython.final
@cython.no_gc
cdef class Portal(Sent):
    cdef readonly bytes name
    cdef readonly bytes server_name
    cdef readonly Statement statement

    @cython.locals(client=Borrower)
    cpdef told(self, Answer answer, bytes chunk, Py_ssize_t at)


@cython.final
@cython.no_gc
cdef class Close(Sent):
    cdef readonly bytes name
    cdef readonly object previous


@cython.final
@cython.no_gc
cdef class Prepare(Mention):
    cdef readonly int batch


@cython.final
cdef class ReplaceUnnamed(Sent):
    pass


@cython.final
@cython.no_gc
cdef class Evict(Sent):
    cdef readonly bytes server_name
    cdef readonly Statement statement


@cython.final
@cython.no_gc
cdef class Give(Sent):
    cdef readonly bytes name


cdef class Ours(Due):
    cpdef done(self, Answer answer)
    cpdef failed(self, Answer answer, dict fields)


@cython.final
cdef class Adopt(Ours):
    pass


@cython.final
cdef class Optional(Ours):
    pass
