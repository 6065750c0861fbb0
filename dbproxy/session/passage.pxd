cimport cython

from dbproxy.cache.fill cimport Fill
from dbproxy.pool.query cimport Query


@cython.final
cdef class Passage:
    cdef readonly object asker
    cdef readonly Query request
    cdef readonly tuple gates
    cdef readonly int passed
    cdef readonly bint over
    cdef readonly dict waiting
    cdef readonly object alarm
    cdef readonly object work
    cdef readonly bint owned

    cpdef object ask(self, double now)
    cpdef close(self)
    @cython.locals(fill=Fill)
    cpdef Fill listen(self, object server)
