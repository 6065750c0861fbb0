cimport cython

from dbproxy.net.direct cimport monotonic
from dbproxy.pool.borrower cimport Borrower
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.states cimport Member
from dbproxy.pool.stats cimport PoolStats
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline

cdef int CLOSED, FAKE, KIND, PARTNER_FULL, SKIP, TESTED


cdef class Server(Member):
    cdef readonly object id
    cdef readonly Pool pool
    cdef readonly PoolStats stats
    cdef public Borrower client
    cdef public Borrower borrower
    cdef readonly double left_at
    cdef public int status
    cdef readonly Framer framer
    cdef readonly Pipeline pipeline
    cdef public object mailbox
    cdef readonly dict prepared
    cdef public bytes unnamed
    cdef readonly bint ran
    cdef readonly dict parameters
    cdef readonly bint skipping
    cdef readonly bint retrying
    cdef public bint forwarded
    cdef public bint flushing
    cdef public int effects
    cdef public set touched
    cdef readonly dict named
    cdef public bint contested
    cdef public bint swept
    cdef readonly bint cancels_later
    cdef public bint advanced
    cdef public int batch
    cdef readonly dict unconfirmed
    cdef frozenset restoring
    cdef public frozenset pins
    cdef public bint local
    cdef public bint keeps_ready
    cdef readonly int asked
    cdef readonly int tries
    cdef readonly bint listens
    cdef readonly bint changed
    cdef public bint murky
    cdef public bint spoiled
    cdef public Borrower notifier
    cdef bytes ahead
    cdef bint renamed
    cdef bytes withheld
    cdef readonly bint told
    cdef public int pid
    cdef public bytes key
    cdef public str address
    cdef public double connected_at
    cdef readonly double lent_at
    cdef readonly double busy_since
    cdef public double xact_start

    cpdef lend(self, client, double now)
    cpdef close(self, str reason, error=*)
    cpdef bytes adopt(self, settings)
    cpdef bytes keep(self, Statement statement)
    cpdef bytes prepare(self, Statement statement, bint describe=*)
    cpdef bytes compare(self, Statement statement, bint describe=*)
    @cython.locals(
        framer=Framer, pipeline=Pipeline, count=Py_ssize_t, number=Py_ssize_t, chunk=bytes, position=Py_ssize_t,
        done=bint, pieces=list, now=double, kind=int, at=Py_ssize_t, ahead=bytes, skip=bint, kept=bint, tail=int,
        mark=Py_ssize_t,
    )
    cdef relay(self, bytes data)
    cpdef bint settle(self) except -1
    cdef forward(self, bytes chunk, Py_ssize_t position, Py_ssize_t end, list pieces)
    cpdef flush(self)
    @cython.locals(total=double, arrived=double, wait=double, microseconds="long long")
    cdef answered(self, request, double now)
    @cython.locals(first=int)
    cdef watch(self, bytes chunk, Py_ssize_t at)
    cdef finish(self, double now)
    cpdef release(self, double now)
    cdef accepted(self, note)
    cdef learn(self, bytes chunk, Py_ssize_t at, note)
    cdef bytes payload(self, bytes chunk, Py_ssize_t at)
    cdef bint fail(self, bytes chunk, Py_ssize_t at) except -1
