cimport cython

from dbproxy.sql.comments cimport mark_values
from dbproxy.sql.lexer cimport gap_end, is_wordlike, kept_end, literal_end

cdef int _BLANK, _QUOTE, _DOLLAR, _QUESTION
cdef int _PAREN, _COMMA, _DASH, _BRACKET

@cython.locals(
    n=Py_ssize_t, padded=bytes, source="const unsigned char *", room=bytearray, out="unsigned char *", i=Py_ssize_t,
    size=Py_ssize_t, end=Py_ssize_t, last=int, listed=bint, found=bytes,
)
cpdef bytes shape(bytes text, bint backslashes=*)

@cython.locals(
    n=Py_ssize_t, padded=bytes, source="const unsigned char *", found=bytes, token=bytes, i=Py_ssize_t,
    start=Py_ssize_t, end=Py_ssize_t,
)
cpdef bytes find_pattern(bytes text)
