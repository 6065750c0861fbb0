"""Whose commits a read must see, as a position."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.writes import Writes
from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.routing.consistency import NOT_TOLD, needed, needed_for, too_soon
from dbproxy.routing.reader import Reader
from dbproxy.routing.wishes import EVENTUAL, GLOBAL, SESSION, Wishes
from tests.unit.cache.fakes import Knowledge, shape_of

HERE = 1 << 24  # no page's header lies there
THERE = HERE + 4096


def writer(position: int = 0, epoch: int = 0, wrote_at: float = 0.0) -> Reader:
    found = Reader()
    found.position, found.epoch, found.wrote_at = position, epoch, wrote_at
    return found


def known(newest: int = THERE) -> Commits:
    commits = Commits()
    commits.begin()
    commits.end(newest)
    return commits


@pytest.mark.parametrize(("consistency", "expected"), [(EVENTUAL, 0), (SESSION, HERE), (GLOBAL, THERE)])
def test_a_read_must_see_what_its_consistency_says(consistency: str, expected: int):
    assert needed(Wishes({}, consistency), writer(position=HERE), known()) == expected


def test_who_has_written_nothing_needs_nothing():
    assert needed(Wishes({}, SESSION), writer(), known()) == 0


@pytest.mark.parametrize("consistency", [EVENTUAL, SESSION])
def test_others_commits_under_way_do_not_matter_to_a_session(consistency: str):
    commits = known()
    commits.begin()
    assert needed(Wishes({}, consistency), writer(position=HERE), commits) < UNKNOWN


def test_only_the_primary_is_fresh_enough_for_all_while_a_commit_is_not_known():
    commits = known()
    commits.begin()
    assert needed(Wishes({}, GLOBAL), writer(), commits) == UNKNOWN
    commits.lose(now=1.0)
    assert needed(Wishes({}, GLOBAL), writer(), commits) == UNKNOWN


def test_who_wrote_before_anybody_asked_must_see_all():
    commits = known()
    commits.since = 10.0
    assert needed(Wishes({}, SESSION), writer(wrote_at=9.0), commits) == THERE
    assert needed(Wishes({}, SESSION), writer(wrote_at=11.0, position=HERE), commits) == HERE


def test_whose_position_was_not_told_must_see_all():
    commits = known()
    lost = writer(wrote_at=9.0, position=UNKNOWN)
    assert needed(Wishes({}, SESSION), lost, commits) == THERE
    commits.begin()
    commits.lose(now=9.0)
    assert needed(Wishes({}, SESSION), lost, commits) == UNKNOWN
    assert needed(Wishes({}, EVENTUAL), lost, commits) == 0


def test_a_position_that_was_not_told_is_on_its_own_timeline():
    commits = known(newest=HERE)
    lost = writer(wrote_at=9.0, position=UNKNOWN)
    commits.reset(HERE)
    commits.begin()
    commits.end(THERE)
    assert needed(Wishes({}, SESSION), lost, commits) == HERE


def test_positions_of_an_older_timeline_are_no_further_than_where_the_new_primary_was():
    commits = known()
    commits.reset(HERE)
    assert needed(Wishes({}, SESSION), writer(position=THERE, epoch=0), commits) == HERE
    assert needed(Wishes({}, SESSION), writer(position=THERE, epoch=1), commits) == THERE


@pytest.mark.parametrize(("consistency", "wrote_at", "expected"), [
    (EVENTUAL, 9.5, False), (SESSION, 9.5, True), (SESSION, 8.0, False), (GLOBAL, 9.5, True),
])  # fmt: skip
def test_without_positions_reads_stay_on_the_primary_for_a_while(
    consistency: str, wrote_at: float, expected: bool
):
    assert too_soon(Wishes({}, consistency), writer(wrote_at=wrote_at), hold=1.0, now=10.0) is expected


# --- by tables ---


@pytest.fixture
def fence() -> Fence:
    """Of a database in which all was seen."""
    found = Fence()
    found.whole.last.lost_at = 0.0
    found.learn(Knowledge(), found.alterations)
    return found


def write(fence: Fence, text: str, position: int = 0) -> None:
    """0: it is not known yet where that is."""
    writes = Writes(fence)
    writes.note(shape_of(text), stays_open=False)
    writes.acknowledge()
    writes.end()
    if position:
        writes.unplaced.place(position)


def need(fence: Fence, *texts: str) -> int:
    return needed_for(tuple(map(shape_of, texts)), fence, known(THERE))


def test_a_read_needs_the_last_commits_to_what_it_reads(fence: Fence):
    write(fence, "INSERT INTO items VALUES (1)", HERE)
    write(fence, "DELETE FROM others", THERE)
    assert need(fence, "SELECT * FROM items") == HERE
    assert need(fence, "SELECT * FROM items", "SELECT 1", "SELECT * FROM others") == THERE
    assert need(fence, "SELECT 1") == 0


def test_a_write_that_nobody_knows_what_it_writes_is_needed_by_all(fence: Fence):
    write(fence, "SELECT do_it()", HERE)
    assert need(fence, "SELECT * FROM items") == NOT_TOLD  # it may have been DDL
    fence.learn(Knowledge(), fence.alterations)
    assert need(fence, "SELECT * FROM items") == HERE


def test_only_the_primary_is_fresh_enough_for_a_table_whose_last_commit_is_not_placed(fence: Fence):
    write(fence, "INSERT INTO items VALUES (1)")
    assert need(fence, "SELECT * FROM items") == UNKNOWN
    assert need(fence, "SELECT * FROM others") == 0
    write(fence, "SELECT do_it()")
    fence.learn(Knowledge(), fence.alterations)
    assert need(fence, "SELECT * FROM others") == UNKNOWN


def test_what_is_read_is_not_told_where_it_is_not_known(fence: Fence):
    assert need(fence, "SELECT * FROM items", "SELECT * FROM missing") == NOT_TOLD
    fence.forget()
    assert need(fence, "SELECT * FROM items") == NOT_TOLD


def test_what_was_committed_before_anybody_saw_it_is_needed_by_all():
    fence = Fence()
    fence.learn(Knowledge(), fence.alterations)
    assert need(fence, "SELECT 1") == UNKNOWN
