cimport cython

from dbproxy.sql.lexer cimport gap_end, kept_end, literal_end


cpdef Py_ssize_t count_literals(bytes text, Py_ssize_t location) except -1
cpdef bytes cut_literal(bytes text, Py_ssize_t number)
@cython.locals(
    n=Py_ssize_t, padded=bytes, source="const unsigned char *", i=Py_ssize_t, end=Py_ssize_t, found=Py_ssize_t,
)
cpdef tuple walk(bytes text, Py_ssize_t location, Py_ssize_t number)
