cimport cython

from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.stats cimport PoolStats
from dbproxy.pool.tenant cimport Tenant
from dbproxy.wire.pipeline cimport Pipeline


@cython.final
cdef class ServerStatements:
    cdef readonly Tenant tenant
    cdef readonly PoolStats stats
    cdef readonly Pipeline pipeline
    cdef readonly dict prepared
    cdef public bytes unnamed
    cdef public int batch
    cdef readonly dict unconfirmed

    cpdef bint has(self, Statement statement) except -1
    cpdef bytes keep(self, Statement statement)
    cpdef bytes prepare(self, Statement statement, bint describe=*)
    cpdef bytes compare(self, Statement statement, bint describe=*)
    cpdef accepted(self, note)
    cpdef learn(self, columns, full, note, client)
    cpdef learn_portal(self, bytes chunk, Py_ssize_t at, note, client)
