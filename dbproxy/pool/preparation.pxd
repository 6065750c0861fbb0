cimport cython

from dbproxy.pool.dialogue cimport Dialogue
from dbproxy.pool.prepared cimport Statement
from dbproxy.pool.statements cimport ServerStatements


@cython.locals(statements=ServerStatements)
cpdef bytes keep(Dialogue dialogue, Statement statement)

@cython.locals(statements=ServerStatements, name=bytes)
cpdef bytes spell_prepare(Dialogue dialogue, Statement statement, bint describe=*)

cpdef bytes compare(Dialogue dialogue, Statement statement, bint describe=*)
