"""What one gate knows of one statement."""

from dbproxy.cache.case import Case
from dbproxy.cache.entry import Moment
from dbproxy.cache.fence import Fence
from dbproxy.sql.cache import StatementCache

SHAPE = StatementCache(16).find(b"SELECT 1")


def test_moment_is_over_once_one_of_its_tags_is_invalidated() -> None:
    fence, case = Fence(), Case(SHAPE)
    case.tables = [fence.find(1), fence.find_mark("tag a")]
    moment = Moment(fence, case.tables)
    assert moment.is_current()
    assert fence.invalidate_mark("tag a")
    assert not moment.is_current()
    assert Moment(fence, case.tables).is_current()


def test_mark_that_nothing_has_is_not_there() -> None:
    fence = Fence()
    assert not fence.invalidate_mark("tag a")


def test_invalidations_are_counted_by_what_has_caused_them() -> None:
    fence = Fence()
    table, mark = fence.find(1), fence.find_mark("tag a")
    table.renew()
    table.renew()
    fence.invalidate([1, 2], "console")
    fence.invalidate(None, "catalog")
    assert fence.invalidate_mark("tag a")
    assert mark.generation == 1
    assert fence.count_invalidations() == {"console": 2, "catalog": 1, "write": 2, "mark": 1}
