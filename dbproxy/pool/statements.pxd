cimport cython

from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.tenant cimport Tenant


@cython.final
cdef class ServerStatements:
    cdef readonly Tenant tenant
    cdef readonly dict prepared
    cdef public bint crowded
    cdef public bytes unnamed
    cdef public int batch
    cdef readonly dict unconfirmed

    cpdef bint has(self, Statement statement) except -1
    cpdef lose(self, bytes name)
