cimport cython

from dbproxy.sql.literals cimport cut_literal
from dbproxy.wire.extended cimport find_zero, length_at

cdef Py_ssize_t LONGEST
cdef int _PLUS, _DASH, _ZERO, _QUOTE


@cython.locals(text=bytes, values=list, found=list, parameter=Py_ssize_t, literal=Py_ssize_t)
cpdef list read_values(tuple places, bytes chunk, Py_ssize_t at, Py_ssize_t stop, bytes body)
@cython.locals(size=Py_ssize_t, quoted=bint)
cpdef object read_literal(bytes literal)
@cython.locals(source="const unsigned char *", at=Py_ssize_t, number="long long", digit=int)
cpdef object read_digits(bytes text, Py_ssize_t start, Py_ssize_t stop)
cpdef object read_parameter(bytes value, bint binary)
@cython.locals(start=Py_ssize_t, at=Py_ssize_t, declared=Py_ssize_t)
cpdef Py_ssize_t find_type(bytes body, Py_ssize_t parameter) except -2
