cimport cython

from dbproxy.cache.gate cimport CacheGate
from dbproxy.pool.server cimport Server
from dbproxy.session.connection cimport Connection
from dbproxy.session.judging cimport Judge
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.framer cimport Framer


@cython.final
cdef class Browsing:
    cdef readonly Connection client
    cdef readonly Judge judge
    cdef readonly CacheGate gate
    cdef readonly dict modes
    cdef readonly Server server

    @cython.locals(requests=list, shape=Shape)
    cpdef bint begin(self, Framer framer, Py_ssize_t index) except -1
    @cython.locals(server=Server, requests=list)
    cpdef bint goes_on(self, Framer framer) except -1
    cdef bint only_read(self, list requests) except -1
    @cython.locals(statements=list)
    cdef bint note_modes(self, list requests) except -1
    cdef bint reads_committed(self, Server server) except -1
    cdef str find_mode(self, Server server, str name)
