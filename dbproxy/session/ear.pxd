cimport cython

from dbproxy.session.connection cimport Connection
from dbproxy.session.statements cimport ClientStatements


@cython.final
cdef class Ear:
    cdef readonly Connection client
    cdef readonly object state
    cdef readonly ClientStatements prepared
    cdef readonly bint owes_ready
