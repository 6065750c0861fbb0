cimport cython

from dbproxy.cache.commit cimport Unplaced
from dbproxy.cache.writes cimport Writes
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.answer cimport Answer
from dbproxy.pool.backend cimport Backend
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.dues cimport Ours, Portal, Sent
from dbproxy.pool.loan cimport Loan
from dbproxy.pool.meter cimport Meter
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.request cimport Request
from dbproxy.pool.states cimport Member
from dbproxy.pool.stats cimport PoolStats
from dbproxy.pool.tenant cimport Tenant
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline
from dbproxy.wire.reply cimport check_reply
from dbproxy.wire.splice cimport Splice

cdef int ANSWERED, KEPT, OVER, SKIP, UNDER_WAY, WRITES


cpdef bint may_advance(int first, int second, int third)


@cython.final
cdef class Relay:
    cdef readonly Member server
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef readonly Backend backend
    cdef readonly Dialogue dialogue
    cdef readonly Loan loan
    cdef readonly Framer framer
    cdef readonly Splice splice
    cdef readonly double now
    cdef bint failed
    cdef readonly bytes error
    cdef readonly Py_ssize_t ready_at
    cdef readonly Answer answer
    cdef readonly Meter meter

    cdef stop_retrying(self)
    @cython.locals(
        framer=Framer, count=Py_ssize_t, number=Py_ssize_t, chunk=bytes, mark=Py_ssize_t, kind=int, at=Py_ssize_t, state=int,
    )
    cpdef int feed(self, bytes data) except -1
    @cython.locals(data=bytes, client=Borrower)
    cdef forward(self, Py_ssize_t end)
    cdef place(self, Py_ssize_t at, bint skip, bytes ahead)
    cpdef flush(self)
    @cython.locals(dialogue=Dialogue, pipeline=Pipeline, ahead=bytes, skip=bint, sent=Sent)
    cdef receive(self, int kind, bytes chunk, Py_ssize_t at)
    @cython.locals(dialogue=Dialogue, pipeline=Pipeline, client=Borrower, status=int, ahead=bytes, skip=bint, kept=bint)
    cdef int ready(self, bytes chunk, Py_ssize_t at) except -1
    @cython.locals(pipeline=Pipeline)
    cdef end_ours(self, Py_ssize_t at)
    @cython.locals(client=Borrower)
    cdef fail(self, bytes chunk, Py_ssize_t at, bint over)
    cdef notify(self, bytes chunk, Py_ssize_t at)
    cdef conclude(self, Py_ssize_t at)
    @cython.locals(loan=Loan, client=Borrower, tenant=Tenant, total=double, arrived=double, wait=double, microseconds="long long", idle=bint)
    cdef answered(self, Request request, Py_ssize_t at, double now)
    @cython.locals(idle=bint)
    cdef acknowledge(self, Writes writes)
    cdef bint will_ask(self) except -1
    cpdef lose_place(self, Unplaced unplaced)
    cdef end_writes(self)
    cdef end_fill(self, Py_ssize_t at, double now)
    cdef count(self, int kind, bytes chunk, Py_ssize_t at)
    cpdef lose(self)
    cdef bytes describe(self, bytes chunk, Py_ssize_t at, bint skip, bytes ahead)
    cdef bint report(self, bytes chunk, Py_ssize_t at, bint skip) except -1
    @cython.locals(first=int, second=int, third=int)
    cdef watch(self, bytes chunk, Py_ssize_t at, bint skip)
    cdef watch_discard(self, bytes chunk, Py_ssize_t at, bint skip)
    cdef bytes payload(self, bytes chunk, Py_ssize_t at)
    cpdef bint inside_message(self)
