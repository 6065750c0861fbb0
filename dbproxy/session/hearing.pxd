from dbproxy.session.connection cimport ClientConnection
from dbproxy.session.statements cimport ClientStatements


cdef class Hearer(ClientConnection):
    cdef readonly bint shares
    cdef readonly bint tracks
    cdef readonly object state
    cdef readonly ClientStatements prepared
    cdef readonly bint owes_ready
    cdef public bint claims
