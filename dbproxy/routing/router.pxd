cimport cython

from dbproxy.cluster.balancer cimport begin
from dbproxy.cluster.lag cimport settle
from dbproxy.cluster.member cimport Member
from dbproxy.cluster.readers cimport Readers
from dbproxy.features.mode cimport Feature
from dbproxy.pool.commits cimport Commits
from dbproxy.pool.pool cimport Pool
from dbproxy.routing.consistency cimport needed, too_soon
from dbproxy.routing.wishes cimport Wishes
from dbproxy.sql.identity cimport Shape

cdef int IS_OFF, IS_ON
cdef long long UNKNOWN


cdef class Router:
    cdef readonly object primary
    cdef readonly object room
    cdef readonly object cluster
    cdef readonly Readers readers
    cdef readonly Commits commits
    cdef public object settings
    cdef public object rules
    cdef public object plugin
    cdef readonly Feature feature
    cdef object arms
    cdef bint advised
    cdef readonly object make_pool
    cdef readonly dict pools
    cdef public object catalog
    cdef public double catalog_read_at
    cdef public bint catalog_stale
    cdef readonly object freshness
    cdef readonly object decisions
    cdef readonly object rescues
    cdef readonly object rescued
    cdef readonly set hopeless
    cdef readonly dict wishes
    cdef dict verdicts

    cpdef Pool pool_of(self, host)
    cpdef bint is_off(self) except -1
    @cython.locals(wishes=Wishes, hint=str)
    cpdef str judge(self, Shape shape, session)
    cdef str judge_wished(self, Shape shape, session, Wishes wishes, str hint)
    @cython.locals(known=tuple)
    cdef str verdict_on(self, Shape shape)
    @cython.locals(known=tuple)
    cpdef Wishes wishes_of(self, settings)
    @cython.locals(reason=str)
    cpdef choose(self, str verdict, session, int mode)
    @cython.locals(wishes=Wishes, lsn=cython.longlong)
    cdef tuple find(self, str verdict, session)
    @cython.locals(host=Member)
    cdef pick(self, double now, long long lsn, avoided)
