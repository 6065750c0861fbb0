cimport cython

from dbproxy.session.connection cimport Connection
from dbproxy.session.series cimport Series


@cython.final
cdef class Ear:
    cdef readonly Connection client
    cdef readonly object state
    cdef readonly Series series
    cdef readonly bint owes_ready
