cimport cython

from dbproxy.sql.lexer cimport comment_end, gap_end, kept_end, line_end, literal_end

cdef int _DASH, _SEMICOLON, _SLASH, _STAR
cdef Py_ssize_t SHORT

@cython.locals(n=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t)
cpdef bytes cut_comments(bytes text)
@cython.locals(padded=bytes, source="const unsigned char *", i=Py_ssize_t)
cpdef bint may_comment(bytes text, Py_ssize_t n) except -1
@cython.locals(n=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t)
cpdef list find_tags(bytes text)
cpdef bytes mark_values(bytes gap, bytes mark)
@cython.locals(
    n=Py_ssize_t, padded=bytes, source="const unsigned char *", i=Py_ssize_t, end=Py_ssize_t, found=list,
)
cpdef list find_plan_hints(bytes text, bint backslashes=*)
@cython.locals(
    n=Py_ssize_t, padded=bytes, source="const unsigned char *", end=Py_ssize_t, last=Py_ssize_t,
)
cdef Py_ssize_t _last_end(bytes text, Py_ssize_t i, bint backslashes) except -1
cdef bytes _cut(bytes text, Py_ssize_t start, Py_ssize_t stop, bytes filler)
@cython.locals(
    padded=bytes, source="const unsigned char *", i=Py_ssize_t, end=Py_ssize_t, pieces=list,
)
cdef list _split(bytes text, Py_ssize_t start, Py_ssize_t stop)
cdef bint _is_tags(bytes piece)
