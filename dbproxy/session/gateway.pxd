cimport cython

from dbproxy.cache.gate cimport CacheGate
from dbproxy.limits.allowance cimport Allowance
from dbproxy.net.direct cimport monotonic
from dbproxy.observe.querystats cimport Account, Entry, QueryStats
from dbproxy.observe.record cimport Facts
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.query cimport Query
from dbproxy.pool.request cimport Request
from dbproxy.pool.server cimport Server
from dbproxy.pool.tenant cimport Tenant
from dbproxy.session.browsing cimport Browsing
from dbproxy.session.connection cimport Connection
from dbproxy.session.ear cimport Ear
from dbproxy.session.inbound cimport Inbound
from dbproxy.session.judging cimport Judge
from dbproxy.session.outcome cimport read_facts
from dbproxy.session.passage cimport Passage
from dbproxy.session.queries cimport Queries
from dbproxy.session.route cimport Route
from dbproxy.session.series cimport Series
from dbproxy.session.translator cimport Translator
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, cut, length_at, parse_parts, target_name
from dbproxy.wire.framer cimport Framer


@cython.final
cdef class Gateway:
    cdef readonly Connection client
    cdef readonly Vocabulary prepared
    cdef readonly Series series
    cdef readonly Ear ear
    cdef readonly Route route
    cdef readonly Judge judge
    cdef readonly Queries queries
    cdef readonly Account account
    cdef public Browsing browsing

    @cython.locals(client=Connection, inbound=Inbound, passage=Passage, query=Query, found=tuple)
    cpdef ask(self, Framer framer, Py_ssize_t index, double arrived)
    @cython.locals(gates=tuple, gate=CacheGate)
    cdef bint is_let_go(self, Shape shape) except -1
    @cython.locals(allowance=Allowance, gates=tuple)
    cpdef tuple list_gates(self)
    @cython.locals(query=Query, inbound=Inbound, now=double)
    cpdef int answer(self, Framer framer, Py_ssize_t index, bytes data) except -1
    @cython.locals(microseconds="long long")
    cdef conclude_answer(self, Query query, bytes data, double now)
    @cython.locals(browsing=Browsing)
    cdef begin(self, Shape shape, Framer framer, Py_ssize_t index)
    @cython.locals(browsing=Browsing, server=Server, dialogue=Dialogue, query=Query, passage=Passage, arrived=double)
    cpdef bint browse(self, Framer framer, bint begun) except -1
    @cython.locals(tenant=Tenant, table=QueryStats, entry=Entry, facts=Facts)
    cpdef count_answer(self, Query query, bytes data, long long microseconds, double now)
    @cython.locals(passage=Passage, query=Query, place=Py_ssize_t)
    cpdef Query settle(self, Framer framer, Py_ssize_t index)
    @cython.locals(kind=int, at=Py_ssize_t, stop=Py_ssize_t)
    cpdef settle_message(self, bytes chunk, Py_ssize_t mark)
    @cython.locals(passage=Passage, query=Query, tenant=Tenant)
    cpdef conclude(self, Request request, long long microseconds, bint failed, int chosen)
    cdef read_facts(self, Query query, Request request, bint failed)
    @cython.locals(passage=Passage, tenant=Tenant)
    cpdef tell(self, Query query, long long microseconds, bint failed)
