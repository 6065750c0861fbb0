cimport cython

from dbproxy.wire.extended cimport length_at

@cython.locals(buffer="const unsigned char *", length=Py_ssize_t)
cpdef check_reply(bytes chunk, Py_ssize_t at)

@cython.locals(buffer="const unsigned char *", last=Py_ssize_t, index=Py_ssize_t, rows="long long", factor="long long")
cpdef long long read_rows(bytes chunk, Py_ssize_t at) except -2
