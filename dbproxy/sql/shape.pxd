import cython

cdef int _OTHER, _SPACE, _WORD, _DIGIT
cdef int _BLANK, _NEWLINE, _RETURN, _QUOTE, _DOUBLE_QUOTE, _BACKSLASH
cdef int _DOLLAR, _AND, _PAREN, _STAR, _PLUS, _COMMA, _DASH
cdef int _DOT, _SLASH, _ZERO, _BRACKET, _UNDERSCORE, _QUESTION
cdef int _A, _B, _E, _F, _N, _O, _U, _X
cdef int _LOWER
cdef bytes _KIND

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


cdef bint _is_wordlike(int byte)
@cython.locals(c=int)
cdef Py_ssize_t _gap_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
cdef Py_ssize_t _line_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
@cython.locals(depth=Py_ssize_t)
cdef Py_ssize_t _comment_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
@cython.locals(c=int, kind=int)
cdef Py_ssize_t _literal_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n, bint backslashes)
@cython.locals(c=int)
cdef Py_ssize_t _prefixed_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n, bint backslashes)
@cython.locals(c=int, following=Py_ssize_t)
cdef Py_ssize_t _string_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n, bint escapes)
@cython.locals(c=int, newline=bint)
cdef Py_ssize_t _continuation(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
@cython.locals(end=Py_ssize_t, size=Py_ssize_t, tag=bytes)
cdef Py_ssize_t _dollar_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n) except -1
@cython.locals(c=int, end=Py_ssize_t, exponent=Py_ssize_t)
cdef Py_ssize_t _number_end(const unsigned char *text, Py_ssize_t i)
cdef bint _is_hex(int byte)
cdef Py_ssize_t _digits_end(const unsigned char *text, Py_ssize_t i)
@cython.locals(c=int)
cdef Py_ssize_t _kept_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
cdef Py_ssize_t _name_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
