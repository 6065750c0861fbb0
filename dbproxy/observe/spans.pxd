cimport cython

from dbproxy.observe.protobuf cimport Number, write_attribute, write_field, write_varint
from dbproxy.observe.record cimport Facts, Record
from dbproxy.sql.identity cimport Shape

cdef Number AFFECTED, BATCH, CLIENT, RETURNED, WAITED
cdef object draw, write_id, write_ids, write_times
cdef int KEPT, SAMPLED, TAGGED


@cython.locals(facts=Facts, shape=Shape, pieces=list)
cdef bytes _add_spans(list spans, Record record, offset_ns, bound)
@cython.locals(hangs=list)
cdef tuple _place(parent, int chosen, bound)
@cython.locals(facts=Facts)
cdef _describe(list pieces, Record record)
cdef bytes _say(str key, value)
cdef _time(double seconds, offset_ns)
