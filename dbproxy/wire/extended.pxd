cimport cython

cdef extern from *:
    """
    static inline PyObject *allocate_bytes(Py_ssize_t size) { return PyBytes_FromStringAndSize(NULL, size); }
    """
    bytes allocate "allocate_bytes" (Py_ssize_t size)
    char *bytes_of "PyBytes_AS_STRING" (object data)
cdef extern from "string.h":
    void *copy "memcpy" (void *to, const void *data, size_t size)
    int differ "memcmp" (const void *data, const void *other, size_t size)

cdef bint COMPILED
cdef list BIND_HEADERS


@cython.locals(buffer="const unsigned char *")
cpdef bytes cut(bytes chunk, Py_ssize_t start, Py_ssize_t stop)

cpdef bint stands_at(bytes chunk, Py_ssize_t start, bytes name) except -1

@cython.locals(buffer="const unsigned char *")
cpdef Py_ssize_t find_zero(bytes chunk, Py_ssize_t start, Py_ssize_t end) except -2

@cython.locals(stop=Py_ssize_t, name=bytes)
cpdef tuple parse_parts(bytes chunk, Py_ssize_t at, Py_ssize_t end, bytes like=*)

@cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
cpdef tuple bind_name(bytes chunk, Py_ssize_t at, Py_ssize_t end)

@cython.locals(stop=Py_ssize_t)
cpdef bytes target_name(bytes chunk, Py_ssize_t at, Py_ssize_t end)

@cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
cpdef bytes statement_text(bytes chunk, Py_ssize_t at)

@cython.locals(buffer="const unsigned char *")
cpdef Py_ssize_t length_at(bytes chunk, Py_ssize_t at) except -1

cpdef bint is_described(bytes chunk, Py_ssize_t stop) except -1

cpdef bytes write_parse(bytes name, bytes body)

@cython.locals(length=Py_ssize_t, header=bytes, whole=bytes, place="char *")
cpdef bytes write_bind(bytes chunk, Py_ssize_t at, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t end, bytes name)

@cython.locals(size=Py_ssize_t, piece=bytes, whole=bytes, place="char *")
cpdef bytes join(list pieces)

cpdef bytes write_describe(bytes name)

cpdef bytes write_close(bytes name)
