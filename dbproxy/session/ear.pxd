cimport cython

from dbproxy.session.connection cimport Connection
from dbproxy.session.series cimport Series
from dbproxy.session.state cimport SessionState


@cython.final
cdef class Ear:
    cdef readonly Connection client
    cdef readonly SessionState state
    cdef readonly Series series
    cdef readonly bint owes_ready
