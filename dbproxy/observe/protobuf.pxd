cimport cython

cdef list _LAST, _MORE


@cython.locals(left="unsigned long long", written=bytes)
cpdef bytes write_varint(number)
cpdef bytes write_field(bytes tag, bytes payload)
@cython.locals(pair=bytes)
cpdef bytes write_attribute(bytes tag, str key, value)
cdef bytes _write_value(value)


@cython.final
cdef class Number:
    cdef list heads

    @cython.locals(written=bytes)
    cpdef add(self, list pieces, value)
