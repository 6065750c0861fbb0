cimport cython

from dbproxy.cache.key cimport key_of_bind, key_of_query, read_text, read_values
from dbproxy.sql.comments cimport cut_comments, may_comment
from dbproxy.wire.extended cimport length_at, parse_parts

cdef int PREFIX, KNOWN


@cython.final
cdef class Keyring:
    cdef readonly str place
    cdef readonly str user
    cdef readonly bytes plain
    cdef readonly dict known

    @cython.locals(kinds=bytes, query=bytes, prefix=bytes, values=bytes, body=bytes)
    cpdef bytes find_key(self, object request, object settings)
    @cython.locals(key=bytes)
    cpdef bytes find_prefix(self, object settings)
