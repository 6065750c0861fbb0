cimport cython

from dbproxy.observe.habits cimport Habits
from dbproxy.observe.querystats cimport Account, Entry, QueryStats
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.execution cimport Execution
from dbproxy.pool.loan cimport Loan
from dbproxy.pool.request cimport Request
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport cut, length_at
from dbproxy.wire.pipeline cimport Pipeline
from dbproxy.wire.reply cimport read_rows

cdef int LARGE, LOOP, PRIMARY, READS, READS_ONLY, SAMPLED, WRITES
cdef double GAP


@cython.final
cdef class Meter:
    cdef readonly QueryStats table
    cdef readonly Account account
    cdef readonly int role
    cdef readonly Dialogue dialogue
    cdef readonly Loan loan
    cdef readonly long long passed
    cdef readonly long long counted
    cdef readonly double ended_at
    cdef readonly long long rows
    cdef readonly str state
    cdef readonly list suspended
    cdef readonly Entry last
    cdef readonly dict reads
    cdef readonly bint writes
    cdef long long total
    cdef long long wait
    cdef long long stall

    cpdef pass_chunk(self, Py_ssize_t size)
    cpdef skip(self, Py_ssize_t end)
    cpdef disown(self, Py_ssize_t end)
    @cython.locals(execution=Execution, portal=Execution, rows="long long", end="long long")
    cpdef end(self, int kind, bytes chunk, Py_ssize_t at, double now)
    @cython.locals(shape=Shape, entry=Entry)
    cdef end_execution(self, Execution portal, double arrived, double now)
    @cython.locals(shape=Shape, entry=Entry, position="long long")
    cpdef ready(self, Request request, Py_ssize_t end, double now)
    cdef end_transaction(self, double now)
    @cython.locals(loan=Loan, begun=double)
    cdef measure(self, double arrived, double now)
    @cython.locals(entry=Entry)
    cdef Entry record(self, Shape shape, double arrived, double now, long long rows, long long bytes_sent, str state)
    @cython.locals(gap=double)
    cdef follow(self, Entry entry, double arrived)
