"""Rows of a table: who writes one ends what is known of it, and of no other."""

import pytest

from dbproxy.cache.entry import Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.reading import Row
from dbproxy.cache.table import CELLS
from dbproxy.cache.writes import MOST, Writes
from dbproxy.sql.identity import Shape
from dbproxy.sql.rows import Place
from tests.support.speech import bind
from tests.unit.cache.fakes import ITEMS, Knowledge, shape_of

COMMIT, ROLLBACK = map(shape_of, ("COMMIT", "ROLLBACK"))


class Rows(Knowledge):
    """Of `items` each row is told by the first parameter, in place of what a schema would find."""

    def find_row(self, shape: Shape) -> Row | None:
        told = shape.rows is not None and "items" in shape.targets
        return Row(ITEMS, (Place(parameter=1),)) if told else None


UPDATE = shape_of("UPDATE items SET a = 1 WHERE id = $1")


def spell(key: int) -> bytes:
    return bind("s", str(key))


def of_row(fence: Fence, key: int) -> Moment:
    table = fence.find(ITEMS)
    assert table.beside is not None
    return Moment(fence, [table.beside, table.find_cell(key)])


def note(writes: Writes, key: int, stays_open: bool = False, shape: Shape = UPDATE) -> None:
    message = spell(key)
    writes.note(shape, stays_open, message, 0, len(message), b"text\0\0\0")


def rows() -> Fence:
    fence = Fence()
    fence.learn(Rows(spread={"others": "items"}), fence.alterations)
    return fence


def test_write_to_a_row_ends_what_is_known_of_it_and_of_all_rows() -> None:
    fence = rows()
    all_rows, one, other = Moment(fence, [fence.find(ITEMS)]), of_row(fence, 1), of_row(fence, 2)
    writes = Writes(fence)
    note(writes, 1)
    assert (all_rows.is_current(), one.is_current(), other.is_current()) == (False, False, True)
    writes.end()
    assert (all_rows.is_unchanged(), one.is_unchanged(), other.is_current()) == (False, False, True)
    assert of_row(fence, 1).is_current()
    assert Moment(fence, [fence.find(ITEMS)]).is_current()


@pytest.mark.parametrize(
    "text", ["UPDATE items SET a = 1", "DELETE FROM others", "INSERT INTO items TABLE others"]
)
def test_write_whose_rows_are_not_told_ends_what_is_known_of_each(text: str) -> None:
    fence = rows()
    one, writes = of_row(fence, 1), Writes(fence)
    writes.note(shape_of(text), stays_open=False)
    assert not one.is_current()
    writes.end()
    assert not one.is_unchanged()
    assert of_row(fence, 1).is_current()


def test_write_whose_value_is_not_known_ends_what_is_known_of_each_row() -> None:
    fence = rows()
    one, writes = of_row(fence, 1), Writes(fence)
    writes.note(UPDATE, stays_open=False)
    assert not one.is_current()


def test_row_is_closed_though_nobody_had_asked_for_it_before() -> None:
    fence = rows()
    writes = Writes(fence)
    note(writes, 1)
    assert not of_row(fence, 1).is_current()
    assert not of_row(fence, 1 + CELLS).is_current()
    assert of_row(fence, 2).is_current()


def test_all_rows_are_closed_by_a_write_that_nobody_had_asked_for_before() -> None:
    fence = rows()
    writes = Writes(fence)
    writes.note(shape_of("UPDATE items SET a = 1"), stays_open=False)
    assert not of_row(fence, 1).is_current()


def test_row_that_is_rolled_back_is_current_in_between_only_to_others() -> None:
    fence = rows()
    writes = Writes(fence)
    note(writes, 1, stays_open=True)
    assert of_row(fence, 1).is_current()
    writes.note(ROLLBACK, stays_open=True)
    one = of_row(fence, 1)
    assert not one.is_current()
    writes.end()
    assert not one.is_unchanged()


def test_transaction_of_many_rows_counts_for_all() -> None:
    fence = rows()
    last, writes = of_row(fence, 1000), Writes(fence)
    for key in range(MOST):
        note(writes, key, stays_open=True)
    writes.note(COMMIT, stays_open=True)
    assert last.is_current()
    note(writes, MOST, stays_open=True)
    assert not last.is_current()
    writes.end()
    assert not last.is_unchanged()
    assert of_row(fence, 1000).is_current()
    assert fence.find(ITEMS).committing == 0


def test_what_was_judged_by_other_knowledge_counts_for_all_rows() -> None:
    fence = rows()
    one, writes = of_row(fence, 2), Writes(fence)
    note(writes, 1)
    assert one.is_current()
    fence.learn(Rows(), fence.alterations)
    assert not one.is_current()
    writes.end()
    assert of_row(fence, 2).is_current()


def test_row_that_a_lost_server_may_still_write_stays_closed() -> None:
    fence = rows()
    writes = Writes(fence)
    note(writes, 1)
    writes.lose(0.0, 7)
    assert not of_row(fence, 1).is_current()
    assert of_row(fence, 2).is_current()
    fence.settle(1.0, {}, own=True)
    assert of_row(fence, 1).is_current()
    assert Moment(fence, [fence.find(ITEMS)]).is_current()


def test_who_says_that_a_table_was_written_means_each_row() -> None:
    fence = rows()
    one, all_rows = of_row(fence, 1), Moment(fence, [fence.find(ITEMS)])
    fence.invalidate([ITEMS])
    assert not one.is_unchanged()
    assert not all_rows.is_unchanged()
