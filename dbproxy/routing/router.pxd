cimport cython

from dbproxy.cache.commit cimport LastCommit
from dbproxy.cache.fence cimport Fence
from dbproxy.cluster.balancer cimport begin
from dbproxy.cluster.lag cimport settle
from dbproxy.cluster.member cimport Member
from dbproxy.cluster.readers cimport Readers
from dbproxy.features.mode cimport Feature
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.commits cimport Commits
from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.pool cimport Pool
from dbproxy.routing.consistency cimport needed, needed_for, too_soon
from dbproxy.routing.destination cimport Destination
from dbproxy.routing.reader cimport Reader
from dbproxy.routing.tally cimport Tally
from dbproxy.routing.wishes cimport Wishes
from dbproxy.sql.identity cimport Shape

cdef int IS_OFF, IS_ON, SEES_ALL
cdef long long NOT_TOLD, UNKNOWN


@cython.final
cdef class Router:
    cdef readonly Pool primary
    cdef readonly object room
    cdef readonly object cluster
    cdef readonly Readers readers
    cdef readonly Commits commits
    cdef readonly object make_pool
    cdef readonly tuple destinations
    cdef readonly dict tallies
    cdef readonly Tally at_primary
    cdef readonly object rescues
    cdef readonly object catalog
    cdef readonly object freshness
    cdef object arms
    cdef readonly Feature feature
    cdef readonly dict wishes
    cdef dict verdicts
    cdef readonly object settings
    cdef readonly object advice
    cdef bint advised
    cdef readonly long long version

    cpdef bint is_off(self) except -1
    @cython.locals(found=Destination)
    cpdef Destination reach(self, Member host)
    cpdef attend(self, Reader reader, Parameters settings)
    cpdef str judge(self, Shape shape, Reader reader)
    cdef str judge_wished(self, Shape shape, Reader reader)
    cdef str verdict_on(self, Shape shape)
    @cython.locals(known=tuple)
    cpdef Wishes wishes_of(self, Parameters settings)
    @cython.locals(lsn=cython.longlong, awaited=cython.longlong, found=Destination, tally=Tally)
    cpdef Destination choose(self, str verdict, Reader reader, int mode, double now)
    @cython.locals(wishes=Wishes, lsn=cython.longlong)
    cdef Py_ssize_t needed_by(self, Reader reader, str verdict, double now) except -1
    cpdef bint may_answer(self, Member host, Reader reader, double now) except -1
    @cython.locals(avoided=Member)
    cdef Destination find(self, Reader reader, long long lsn, double now)
    @cython.locals(reason=str, hopeless=bint, plain=bint)
    cdef count_none(self, Reader reader, long long lsn, int mode)
    @cython.locals(
        fence=Fence, commits=Commits, furthest=cython.longlong, host=Member, shape=Shape, commit=LastCommit
    )
    cdef note_awaited(self, Reader reader)
    cdef str explain_none(self, Reader reader, long long lsn)
    @cython.locals(host=Member, found=Destination)
    cdef Destination pick(self, double now, long long lsn, Member avoided)
