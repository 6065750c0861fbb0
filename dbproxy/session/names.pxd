cimport cython

from dbproxy.session.given cimport Giver
from dbproxy.session.readings cimport Readings
from dbproxy.session.series cimport Series
from dbproxy.session.vocabulary cimport Vocabulary


@cython.final
cdef class Names:
    cdef readonly Vocabulary own
    cdef readonly Readings readings
    cdef readonly Series series
    cdef readonly Giver giver
