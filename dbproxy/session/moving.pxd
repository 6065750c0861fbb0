cimport cython

from dbproxy.session.batch cimport Batch
from dbproxy.session.connection cimport Connection
from dbproxy.session.judging cimport Judge
from dbproxy.session.state cimport SessionState


@cython.final
cdef class Mover:
    cdef readonly Connection client
    cdef readonly SessionState state
    cdef readonly Judge judge
    cdef readonly Batch batch
    cdef public object opening
    cdef public object repeats
