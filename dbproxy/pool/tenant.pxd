cimport cython

from dbproxy.cache.fence cimport Fence
from dbproxy.observe.sampling cimport Sampler
from dbproxy.pool.commits cimport Commits
from dbproxy.pool.routines cimport Routines
from dbproxy.pool.stats cimport PoolStats
from dbproxy.sql.cache cimport StatementCache


@cython.final
cdef class Tenant:
    cdef readonly str database
    cdef readonly str user
    cdef public object settings
    cdef public double slow_after
    cdef readonly PoolStats stats
    cdef readonly object statements
    cdef readonly object parameter_sets
    cdef readonly StatementCache classifier
    cdef readonly Commits commits
    cdef readonly Routines routines
    cdef public bint tells_positions
    cdef readonly object recall
    cdef public bint recalls
    cdef readonly object query_stats
    cdef public Fence fence
    cdef readonly list features
    cdef public tuple gates
    cdef public tuple listeners
    cdef public Sampler sampler

    cpdef forget_statements(self)
    cpdef bint hears_few(self)
