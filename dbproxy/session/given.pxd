cimport cython

from dbproxy.session.readings cimport Readings
from dbproxy.session.vocabulary cimport Vocabulary


@cython.final
cdef class Giver:
    cdef readonly Vocabulary own
    cdef readonly Readings readings
