cimport cython

from dbproxy.cache.writes cimport Writes
from dbproxy.limits.allowance cimport Allowance
from dbproxy.net.direct cimport monotonic
from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.pool cimport Pool
from dbproxy.pool.request cimport Request, new_request
from dbproxy.pool.server cimport Server
from dbproxy.session.connection cimport Connection
from dbproxy.session.ear cimport Ear
from dbproxy.session.gateway cimport Gateway
from dbproxy.session.inbound cimport Inbound
from dbproxy.session.loan cimport Lending
from dbproxy.session.portals cimport Portals
from dbproxy.session.replay cimport Replay
from dbproxy.session.route cimport Route
from dbproxy.session.series cimport Series
from dbproxy.session.state cimport SessionState
from dbproxy.session.translator cimport Translator
from dbproxy.session.vocabulary cimport Vocabulary
from dbproxy.sql.identity cimport Shape
from dbproxy.wire.extended cimport bind_name, cut, length_at
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.pipeline cimport Pipeline
from dbproxy.wire.splice cimport Splice

cdef int ANSWER, DUE_LIMIT, FLOODING, HUB, NOT, NOTHING_YET, REPLICA, SERVER, SPOILED, STOP, TASK


@cython.final
cdef class Intake:
    cdef readonly Connection client
    cdef readonly SessionState state
    cdef readonly Vocabulary prepared
    cdef readonly Translator translator
    cdef readonly Series series
    cdef readonly Ear ear
    cdef readonly Route route
    cdef readonly Lending lending
    cdef readonly Gateway gateway
    cdef readonly bint shares
    cdef readonly bint tracks
    cdef readonly Portals portals
    cdef readonly object temporary
    cdef readonly Splice splice
    cdef public Request unfinished
    cdef readonly bint discarding

    @cython.locals(client=Connection, inbound=Inbound, framer=Framer, server=Server, stays=Py_ssize_t)
    cpdef take(self, bytes data)
    cdef put_off(self, Framer framer, Py_ssize_t at)
    @cython.locals(client=Connection, server=Server, splice=Splice, mark=Py_ssize_t, kind=int, at=Py_ssize_t, request=Request, onward=Py_ssize_t, limited=bint)
    cpdef handle(self, Framer framer, Py_ssize_t index, Py_ssize_t position)
    @cython.locals(client=Connection, inbound=Inbound, framer=Framer, index=Py_ssize_t, told=bytes)
    cpdef drop_request(self, error)
    @cython.locals(client=Connection, arrived=double)
    cdef Py_ssize_t pass_gates(self, Framer framer, Py_ssize_t index) except -2
    @cython.locals(client=Connection, allowance=Allowance, onward=Py_ssize_t)
    cdef Py_ssize_t approach(self, Server server, Framer framer, Py_ssize_t index, int kind, Py_ssize_t at) except -2
    @cython.locals(client=Connection, home=Pool, server=Server)
    cdef Server borrow(self, Framer framer, Py_ssize_t index)
    cdef lend(self, Server server)
    @cython.locals(replay=Replay, data=bytes)
    cdef send(self, Server server, Py_ssize_t end)
    @cython.locals(prepared=Vocabulary, series=Series, shape=Shape, stop=Py_ssize_t)
    cdef query(self, Server server, Request request, bytes chunk, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(replay=Replay, stop=Py_ssize_t, new=bytes)
    cdef translate(self, Server server, int kind, bytes chunk, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(series=Series)
    cdef execute(self, Server server, bytes chunk, Py_ssize_t at)
    @cython.locals(series=Series)
    cdef sync(self, Server server, Request request, bytes chunk, Py_ssize_t at)
    cdef rare(self, Server server, Request request, int kind)
    @cython.locals(dialogue=Dialogue, writes=Writes)
    cdef note_writes(self, Server server, Shape shape, bytes chunk, Py_ssize_t at, Py_ssize_t stop, bytes body)
    @cython.locals(shape=Shape, name=bytes, body=bytes)
    cdef note_bind(self, Server server, bytes chunk, Py_ssize_t at, Py_ssize_t stop)
    cdef leave(self, Server server, Py_ssize_t at)
    @cython.locals(allowance=Allowance, dialogue=Dialogue, waiting=bytes)
    cdef Py_ssize_t follow(self, Server server, Framer framer, Py_ssize_t index, int kind, Py_ssize_t at) except -2
    cdef bint browse(self, Framer framer) except -1
    cdef bint let_go(self, Allowance allowance) except -1
    cdef bint needs_server(self, int kind, bytes chunk, Py_ssize_t at) except -1
