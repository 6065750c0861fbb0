cimport cython

from dbproxy.wire.extended cimport cut, find_zero, length_at

cdef int _BIND, _PARSE
cdef bytes _ALONE, _NO_PARAMETERS, _TEXT_RESULTS, _TEXT_RESULTS_TOO


cpdef bytes key_of_query(bytes prefix, bytes text)
cpdef bytes key_of_bind(bytes prefix, bytes body, bytes values)
@cython.locals(last=Py_ssize_t)
cpdef bytes read_text(bytes messages)
@cython.locals(at=Py_ssize_t, stop=Py_ssize_t, end=Py_ssize_t, number=Py_ssize_t, values=bytes, parsed=bytes)
cpdef bytes read_values(bytes kinds, bytes messages)
