cimport cython

from dbproxy.cache.values cimport read_values
from dbproxy.wire.extended cimport length_at, parse_parts


@cython.locals(messages=bytes, body=bytes, at=Py_ssize_t, stop=Py_ssize_t, kind=int)
cpdef list read_keys(tuple places, request)
@cython.locals(text=bytes, messages=bytes, at=Py_ssize_t, stop=Py_ssize_t, kind=int)
cpdef bint is_momentary(request) except -1
