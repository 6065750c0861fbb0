cimport cython

cdef int _OTHER, _SPACE, _WORD, _DIGIT
cdef int _NEWLINE, _RETURN, _QUOTE, _DOUBLE_QUOTE, _BACKSLASH
cdef int _DOLLAR, _AND, _STAR, _PLUS, _DASH
cdef int _DOT, _SLASH, _ZERO, _UNDERSCORE
cdef int _A, _B, _E, _F, _N, _O, _U, _X
cdef int _LOWER
cdef bytes _KIND


cpdef bint is_wordlike(int byte)
@cython.locals(c=int)
cpdef Py_ssize_t gap_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
cpdef Py_ssize_t line_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
@cython.locals(depth=Py_ssize_t)
cpdef Py_ssize_t comment_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
@cython.locals(c=int, kind=int)
cpdef Py_ssize_t literal_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n, bint backslashes)
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
cpdef Py_ssize_t kept_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
cdef Py_ssize_t _name_end(const unsigned char *text, Py_ssize_t i, Py_ssize_t n)
