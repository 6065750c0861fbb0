from dbproxy.pool.execution import new_execution
from dbproxy.sql.identity import NO_SHAPE


def test_later_execute_knows_the_first():
    first = new_execution(NO_SHAPE, b"SELECT 1")
    later = new_execution(NO_SHAPE, None, first)
    later.send(5.0, 10)
    assert (later.first, later.arrived, later.limit, first.arrived) == (first, 5.0, 10, 0.0)
