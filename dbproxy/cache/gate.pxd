cimport cython

from dbproxy.cache.admission cimport Sightings
from dbproxy.cache.asked cimport is_momentary
from dbproxy.cache.case cimport Case
from dbproxy.cache.cases cimport Cases
from dbproxy.cache.entry cimport Entry, Moment
from dbproxy.cache.fence cimport Fence
from dbproxy.cache.fill cimport Fill
from dbproxy.cache.keyring cimport Keyring
from dbproxy.cache.memory cimport Memory
from dbproxy.cache.tally cimport Tally
from dbproxy.features.mode cimport Feature
from dbproxy.sql.identity cimport Shape

cdef int PREFIX, OFF, ON


@cython.final
cdef class CacheGate:
    cdef readonly str place
    cdef readonly Keyring keyring
    cdef readonly str database
    cdef readonly str user
    cdef readonly Memory memory
    cdef readonly Feature feature
    cdef public object settings
    cdef readonly Tally tally
    cdef readonly Cases cases
    cdef public object shelf
    cdef public object has_heard
    cdef readonly dict flying

    cpdef bint is_harmless(self, Shape shape) except -1
    @cython.locals(case=Case)
    cpdef bint lets_go(self, Shape shape, long long session) except -1
    @cython.locals(feature=Feature)
    cpdef int find_mode(self, long long session) except -1
    @cython.locals(mode=int, shape=Shape, case=Case, key=bytes)
    cpdef object before(self, object request, object session, double now)
    cpdef object pass_by(self, Case case, str reason)
    @cython.locals(fill=Fill)
    cpdef after(self, object request)
    @cython.locals(entry=Entry, data=bytes, first=Fill)
    cpdef object look_up(self, object request, Case case, bytes key, int mode, double now)
    cpdef bint is_worth_keeping(self, Case case, bytes key, double now) except -1
    @cython.locals(fill=Fill, momentary=bint, tables=list)
    cpdef object miss(self, object request, Case case, bytes key, int mode)
    @cython.locals(verify=double)
    cpdef object serve(self, object request, Case case, Entry entry, bytes data, int mode)
    @cython.locals(moment=Moment)
    cpdef Fill begin(self, bytes key, Case case, list tables, Entry expected=*)
    cpdef land(self, Fill fill)
    cpdef finish(self, Fill fill)


cpdef bint keeps_up(object settings, object has_heard) except -1
