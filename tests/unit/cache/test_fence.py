"""What is being committed, what was, and what nobody knows."""

import itertools

import pytest

from dbproxy.cache.entry import Moment
from dbproxy.cache.fence import Fence, is_idle
from dbproxy.cache.writes import DOUBT, Writes
from dbproxy.sql.identity import FUNCTION_CALL
from tests.unit.cache.fakes import ITEMS, OTHERS, Knowledge, shape_of

INSERT = shape_of("INSERT INTO items VALUES (1)")
DELETE = shape_of("DELETE FROM others")
READ = shape_of("SELECT * FROM items")
BEGIN, COMMIT, ROLLBACK = map(shape_of, ("BEGIN", "COMMIT", "ROLLBACK"))
OPAQUE = shape_of("SELECT do_it()")
DDL = shape_of("ALTER TABLE items ADD b int")


@pytest.fixture
def fence() -> Fence:
    return known(Fence())


def known(fence: Fence, knowledge: Knowledge | None = None) -> Fence:
    fence.learn(knowledge or Knowledge(), fence.alterations)
    return fence


def moment(fence: Fence, *oids: int) -> Moment:
    return Moment(fence, [fence.find(oid) for oid in oids])


# --- of one table ---


def test_answer_is_current_until_its_table_is_about_to_be_committed_to(fence: Fence):
    items, others, writes = moment(fence, ITEMS), moment(fence, OTHERS), Writes(fence)
    writes.note(INSERT, stays_open=False)
    assert not items.is_current()
    assert items.is_unchanged()
    writes.end()
    assert not items.is_current()
    assert not items.is_unchanged()
    assert others.is_current()
    assert moment(fence, ITEMS).is_current()


def test_what_an_open_transaction_writes_counts_from_its_commit_on(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(BEGIN, stays_open=False)
    writes = Writes(fence)
    writes.note(INSERT, stays_open=True)
    assert items.is_current()
    writes.note(COMMIT, stays_open=True)
    assert not items.is_current()
    writes.end()
    assert not items.is_unchanged()


def test_what_is_sent_behind_a_commit_may_be_committed_at_once(fence: Fence):
    """Behind COMMIT, Execute, Flush there is no ReadyForQuery that says that the transaction is over."""
    others, writes = moment(fence, OTHERS), Writes(fence)
    writes.note(COMMIT, stays_open=True)
    writes.note(DELETE, stays_open=True)
    assert not others.is_current()
    writes.end()
    assert not others.is_unchanged()


def test_what_is_rolled_back_counts_as_written(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(INSERT, stays_open=True)
    writes.note(ROLLBACK, stays_open=True)
    writes.end()
    assert not items.is_unchanged()


def test_what_ends_unexpectedly_counts_as_written(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(INSERT, stays_open=True)
    writes.end()
    assert not items.is_unchanged()


def test_table_stays_closed_until_the_last_of_its_writers_is_done(fence: Fence):
    one, other = Writes(fence), Writes(fence)
    one.note(INSERT, stays_open=False)
    other.note(INSERT, stays_open=False)
    one.end()
    assert not moment(fence, ITEMS).is_current()
    other.end()
    assert moment(fence, ITEMS).is_current()


def test_writes_are_of_one_transaction(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=False)
    writes.end()
    items = moment(fence, ITEMS)
    writes.note(DELETE, stays_open=False)
    writes.end()
    assert items.is_current()
    assert not fence.writers


def test_reads_close_nothing(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(READ, stays_open=False)
    assert items.is_current()
    writes.end()
    assert items.is_current()


def test_call_of_a_function_by_number_is_of_the_whole_database(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(FUNCTION_CALL, stays_open=False)
    assert not items.is_current()
    writes.end()
    assert not items.is_unchanged()


def test_all_orders_of_two_transactions_leave_nothing_closed_and_nothing_stale():
    """Of each, an answer begun before its commit was acknowledged is never current afterwards."""
    steps = [(0, "write"), (0, "commit"), (0, "end"), (1, "write"), (1, "commit"), (1, "end")]
    for order in set(itertools.permutations(steps)):
        if any([kind for at, kind in order if at == who] != ["write", "commit", "end"] for who in (0, 1)):
            continue
        fence = known(Fence())
        both = [Writes(fence), Writes(fence)]
        before = [moment(fence, ITEMS)]
        for who, kind in order:
            if kind == "write":
                both[who].note(INSERT, stays_open=True)
            elif kind == "commit":
                both[who].note(COMMIT, stays_open=True)
                assert not moment(fence, ITEMS).is_current()
            else:
                both[who].end()
                assert not any(then.is_unchanged() for then in before)
            before.append(moment(fence, ITEMS))
        assert before[-1].is_current()


# --- nobody knows what ---


def test_what_somebody_else_has_written_is_dropped(fence: Fence):
    items, others = moment(fence, ITEMS), moment(fence, OTHERS)
    fence.invalidate([ITEMS])
    assert not items.is_current()
    assert others.is_current()
    fence.invalidate(None)
    assert not others.is_current()
    assert moment(fence, ITEMS, OTHERS).is_current()


@pytest.mark.parametrize("shape", [DDL, OPAQUE, shape_of("DO $$ BEGIN END $$"), shape_of("EXECUTE x")])
def test_nothing_is_known_from_before_what_may_alter_it_until_it_was_read_again(fence: Fence, shape):
    writes = Writes(fence)
    writes.note(shape, stays_open=True)
    writes.note(COMMIT, stays_open=True)
    assert not fence.knows()
    fence.learn(Knowledge(), fence.alterations)
    writes.end()
    assert not fence.knows()
    known(fence)
    assert fence.knows()


def test_what_was_read_while_it_was_altered_does_not_hold(fence: Fence):
    alterations, writes = fence.alterations, Writes(fence)
    writes.note(DDL, stays_open=False)
    writes.end()
    fence.learn(Knowledge(), alterations)
    assert not fence.knows()


@pytest.mark.parametrize("text", ["BEGIN", "COMMIT", "SET a.b = 1", "SHOW x", "LISTEN a", "SELECT 1"])
def test_what_writes_nothing_anywhere_needs_no_knowledge(text: str):
    assert is_idle(shape_of(text))
    fence = Fence()
    Writes(fence).note(shape_of(text), stays_open=False)
    assert not fence.whole.committing
    assert known(fence).knows()


@pytest.mark.parametrize(
    "text", ["SELECT f()", "SELECT * FROM a_view", "SELECT 1 + 1", "INSERT INTO items VALUES (1)"]
)
def test_what_may_write_counts_as_all_while_nothing_is_known(text: str):
    fence = Fence()
    writes = Writes(fence)
    writes.note(shape_of(text), stays_open=False)
    assert fence.whole.committing
    writes.end()
    assert not fence.whole.committing


def test_what_is_under_way_is_judged_once_more_when_more_is_known():
    """Else an INSERT begun before the database was read would keep all of it closed, or a trigger would go unseen."""
    fence = Fence()
    writes, reads = Writes(fence), Writes(fence)
    writes.note(INSERT, stays_open=False)
    reads.note(READ, stays_open=False)
    known(fence, Knowledge(spread={"items": "others"}))
    assert fence.knows()
    assert not fence.whole.committing
    assert not moment(fence, ITEMS).is_current()
    assert not moment(fence, OTHERS).is_current()
    writes.end()
    reads.end()
    assert moment(fence, ITEMS, OTHERS).is_current()
    assert fence.knows()


def test_trigger_made_meanwhile_is_seen_by_a_write_that_was_judged_before(fence: Fence):
    """The INSERT may have waited for the lock of CREATE TRIGGER."""
    insert, create = Writes(fence), Writes(fence)
    insert.note(INSERT, stays_open=True)
    create.note(shape_of("CREATE TRIGGER t AFTER INSERT ON items EXECUTE FUNCTION f()"), stays_open=False)
    create.end()
    known(fence, Knowledge(spread={"items": "others"}))
    others = moment(fence, OTHERS)
    assert others.is_current()
    insert.note(COMMIT, stays_open=True)
    assert not others.is_current()
    insert.end()
    assert not others.is_unchanged()


def test_what_cannot_be_told_and_was_over_before_the_database_was_read_has_it_read_again():
    fence = Fence()
    alterations, writes = fence.alterations, Writes(fence)
    writes.note(OPAQUE, stays_open=False)
    writes.end()
    fence.learn(Knowledge(), alterations)
    assert not fence.knows()
    assert known(fence).knows()


def test_reading_is_not_put_off_by_writes_that_can_be_told():
    fence = Fence()
    alterations, writes = fence.alterations, Writes(fence)
    writes.note(INSERT, stays_open=False)
    writes.end()
    writes.note(INSERT, stays_open=False)
    fence.learn(Knowledge(), alterations)
    assert fence.knows()


def test_server_that_was_lent_before_anybody_looked_may_have_written_all():
    fence = Fence()
    writes = Writes(fence)
    writes.note_unseen()
    assert fence.whole.committing
    known(fence)
    assert not moment(fence, ITEMS).is_current()
    writes.end()
    assert not fence.whole.committing
    assert not fence.knows()


# --- in doubt ---


def lose(fence: Fence) -> Moment:
    writes, items = Writes(fence), moment(fence, ITEMS)
    writes.note(INSERT, stays_open=False)
    writes.lose(100.0, 7)
    return items


def test_what_a_lost_server_may_have_committed_stays_closed_until_its_process_is_gone(fence: Fence):
    items = lose(fence)
    fence.settle(101, {7: False, 8: False}, own=True)
    assert not moment(fence, ITEMS).is_current()
    fence.settle(100 + 10 * DOUBT, {7: False, 8: False}, own=True)
    assert not moment(fence, ITEMS).is_current()
    fence.settle(101, {8: False}, own=True)
    assert moment(fence, ITEMS).is_current()
    assert not items.is_unchanged()
    assert fence.doubts == []


def test_process_that_waits_for_its_client_long_after_it_was_lost_has_not_got_what_was_sent(fence: Fence):
    lose(fence)
    fence.settle(100 + DOUBT - 1, {7: True}, own=True)
    assert not moment(fence, ITEMS).is_current()
    fence.settle(100 + DOUBT, {7: True}, own=True)
    assert moment(fence, ITEMS).is_current()


def test_number_that_a_pooler_has_given_says_nothing_of_a_process(fence: Fence):
    lose(fence)
    fence.settle(100 + DOUBT - 1, {8: False}, own=False)
    assert not moment(fence, ITEMS).is_current()
    fence.settle(100 + DOUBT, {8: False}, own=False)
    assert moment(fence, ITEMS).is_current()


def test_what_was_not_about_to_be_committed_is_not_in_doubt(fence: Fence):
    items, writes = moment(fence, ITEMS), Writes(fence)
    writes.note(INSERT, stays_open=True)
    writes.lose(0.0, 7)
    assert items.is_current()
    assert fence.doubts == []
    assert not fence.writers


def test_what_may_have_been_altered_in_doubt_is_read_again(fence: Fence):
    writes = Writes(fence)
    writes.note(DDL, stays_open=False)
    writes.lose(0.0, 7)
    known(fence)
    fence.settle(DOUBT, {}, own=True)
    assert not fence.knows()


def test_lost_server_is_told_of_once(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=False)
    writes.lose(0.0, 7)
    writes.lose(0.0, 7)
    writes.end()
    fence.settle(DOUBT, {}, own=True)
    assert fence.find(ITEMS).committing == 0


# --- where it is in the WAL ---


def place(writes: Writes, position: int) -> None:
    """Its client hears of it, and then the server is asked."""
    writes.acknowledge()
    writes.end()
    writes.unplaced.place(position)


def positions(fence: Fence, text: str) -> list[int] | None:
    read = fence.find_read(shape_of(text))
    return None if read is None else [last.position for last in read]


def test_each_table_has_the_position_of_its_own_last_commit(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=False)
    place(writes, 10)
    writes.note(DELETE, stays_open=False)
    place(writes, 20)
    assert positions(fence, "SELECT * FROM items") == [10]
    assert positions(fence, "SELECT * FROM others") == [20]
    assert positions(fence, "SELECT 1") == []
    writes.note(OPAQUE, stays_open=False)
    place(writes, 30)
    assert fence.whole.last.position == 30


def test_what_is_not_committed_has_no_position(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=True)
    writes.acknowledge()
    assert not writes.unplaced.commits


def test_while_nothing_is_known_nobody_knows_what_is_read(fence: Fence):
    assert positions(fence, "SELECT * FROM missing") is None
    fence.forget()
    assert positions(fence, "SELECT * FROM items") is None
    known(fence, Knowledge())
    assert positions(fence, "SELECT * FROM items") == [0]


def test_what_is_known_anew_counts_for_shapes_that_were_judged_before(fence: Fence):
    assert fence.find_written(INSERT).tables == [fence.find(ITEMS)]
    known(fence, Knowledge(spread={"items": "others"}))
    assert {table.oid for table in fence.find_written(INSERT).tables} == {ITEMS, OTHERS}


def test_what_a_lost_server_may_have_committed_is_lost(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=False)
    writes.lose(5.0, process=1)
    assert fence.find(ITEMS).last.lost_at == 5.0
    assert not fence.find(OTHERS).last.lost_at


def test_another_primary_has_nothing_behind_where_it_was(fence: Fence):
    writes = Writes(fence)
    writes.note(INSERT, stays_open=False)
    place(writes, 100)
    fence.turn(70)
    assert positions(fence, "SELECT * FROM items") == [70]


class Gone(Knowledge):
    """Of a database from which `others` was dropped."""

    names = {ITEMS: "items"}  # noqa: RUF012 - never written


def test_table_that_is_no_more_is_kept_only_while_it_is_written() -> None:
    fence = Fence()
    fence.learn(Knowledge(), 0)
    writes = Writes(fence)
    writes.note(shape_of("DELETE FROM others"), stays_open=False)
    fence.learn(Gone(), 0)
    assert OTHERS in fence.tables
    writes.acknowledge()
    writes.end()
    writes.unplaced.place(70)
    counted = fence.count_invalidations()
    fence.learn(Gone(), 0)
    assert fence.tables.keys() <= Gone.names.keys()
    assert fence.count_invalidations() == counted
    assert fence.whole.last.position == 70  # were it there again
