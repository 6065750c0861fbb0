cimport cython

from dbproxy.cluster.member cimport Member
from dbproxy.observe.record cimport Facts
from dbproxy.pool.relay cimport Relay
from dbproxy.pool.request cimport Request
from dbproxy.pool.server cimport Server
from dbproxy.session.connection cimport Connection
from dbproxy.session.route cimport Route
from dbproxy.wire.extended cimport length_at, parse_parts
from dbproxy.wire.framer cimport Framer
from dbproxy.wire.reply cimport read_rows

cdef int NO_ROWS


@cython.locals(server=Server, host=Member, facts=Facts, begun=double)
cpdef Facts read_facts(Connection client, Route route, Request request, bint failed)

@cython.locals(chunk=bytes, at=Py_ssize_t)
cpdef bint is_prepared(Request request) except -1

@cython.locals(framer=Framer, number=Py_ssize_t, mark=Py_ssize_t, kind=int, at=Py_ssize_t, statements=Py_ssize_t, rows="long long", returned="long long", written="long long")
cpdef tuple count_rows(Relay relay)
