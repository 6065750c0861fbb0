cimport cython

from dbproxy.pool.given cimport Given
from dbproxy.pool.statements cimport ServerStatements
from dbproxy.pool.traces cimport Traces
from dbproxy.wire.pipeline cimport Pipeline


@cython.final
cdef class Dialogue:
    cdef readonly Pipeline pipeline
    cdef readonly ServerStatements statements
    cdef readonly Traces traces
    cdef readonly Given given
    cdef public object settings
    cdef public int status
    cdef public bint ran
    cdef public bint failed

    cdef begin_loan(self)
    cpdef bint in_transaction(self)
    cpdef bint only_ours(self)
    cpdef bint between_requests(self)
    cpdef bint ready(self, int status)
    cpdef bint is_dirty(self)
