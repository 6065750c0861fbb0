cimport cython

from dbproxy.observe.habits cimport Habits
from dbproxy.observe.sums cimport Sums
from dbproxy.sql.identity cimport Shape


@cython.final
cdef class Account:
    cdef readonly str database
    cdef readonly str user
    cdef readonly long long number
    cdef object __weakref__


@cython.final
cdef class Entry:
    cdef readonly str id
    cdef readonly str text
    cdef readonly str kind
    cdef readonly int access
    cdef readonly bint unlimited
    cdef readonly object tables
    cdef object shape
    cdef readonly Account account
    cdef readonly int role
    cdef readonly tuple key
    cdef readonly long long minute
    cdef readonly Sums running
    cdef readonly Sums since
    cdef readonly object past
    cdef readonly Habits habits
    cdef readonly double first_seen
    cdef readonly double last_seen
    cdef public bint used
    cdef public bint evicted
    cdef public Py_ssize_t weight

    cpdef lie_at_hand(self, Shape shape)
    @cython.locals(shape=Shape)
    cpdef leave(self)
    cpdef turn(self, long long minute)
    cpdef Py_ssize_t weigh(self)


@cython.final
cdef class QueryStats:
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t memory_limit
    cdef readonly bint by_user
    cdef readonly bint track_utility
    cdef readonly object accounts
    cdef object numbers
    cdef readonly dict entries
    cdef readonly list ring
    cdef Py_ssize_t hand
    cdef readonly object other
    cdef readonly Py_ssize_t memory
    cdef readonly long long evicted
    cdef readonly double origin
    cdef readonly double reset_at
    cdef readonly long long minute
    cdef double turns_at

    @cython.locals(entry=Entry)
    cpdef Entry find(self, Shape shape, Account account, int role, double now)
    cdef Entry look_up(self, Shape shape, Account account, int role, double now)
    @cython.locals(larger=bint)
    cpdef record(self, Entry entry, double now, long long total, long long wait, long long stall, long long rows, long long bytes_sent,
                 str state)
    cpdef turn(self, double now)
    cpdef weigh(self, Entry entry)
    @cython.locals(weight=Py_ssize_t)
    cdef reweigh(self, Entry entry)
    @cython.locals(entry=Entry)
    cdef evict(self)
    cdef drop(self, Entry entry)
