cimport cython

from dbproxy.pool.question cimport Question


@cython.final
cdef class Following:
    cdef public tuple place
    cdef public Question question
    cdef public tuple about
    cdef bytes query
    cdef public double asked_at
    cdef public list waiting
    cdef public list coming

    cpdef bytes spell(self, pool)


cdef class Watch:
    cdef object make_pool
    cdef object renew
    cdef readonly object startup
    cdef readonly dict pools
    cdef readonly dict followings
    cdef readonly object timer
    cdef readonly double retry_at

    @cython.locals(following=Following)
    cpdef bint follow(self, pool, tuple place, then) except -1
    cpdef begin(self, pool, Following following)
    @cython.locals(question=Question)
    cpdef ask(self, pool, Following following)
    cpdef end(self, pool, Following following)
