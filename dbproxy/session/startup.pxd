from dbproxy.net.link cimport Link
from dbproxy.pool.pool cimport Pool
from dbproxy.routing.router cimport Router
from dbproxy.session.identity cimport Identity
from dbproxy.session.inbox cimport Inbox


cdef class Login(Link):
    cdef public object house
    cdef public Identity identity
    cdef public Pool pool
    cdef public Router router
    cdef public object client
    cdef public object heir
    cdef public Inbox inbox
    cdef public object conversation

    cpdef data_received(self, bytes data)
