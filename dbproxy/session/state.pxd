cimport cython

from dbproxy.pool.parameters cimport Parameters
from dbproxy.pool.pool cimport Pool
from dbproxy.session.listening cimport Listening
from dbproxy.session.recollection cimport Recollection


@cython.final
cdef class SessionState:
    cdef readonly object client
    cdef readonly object house
    cdef readonly Pool pool
    cdef readonly str mode
    cdef readonly bint tracks
    cdef readonly bint shares
    cdef readonly Parameters start
    cdef public dict pins
    cdef readonly Listening listening
    cdef readonly Recollection recollection
    cdef readonly bint backslashes
