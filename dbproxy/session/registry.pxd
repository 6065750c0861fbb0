# Each login runs it.
cimport cython


@cython.locals(number=long)
cpdef count(dict counted, str name, long change)
