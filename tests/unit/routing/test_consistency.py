"""Whose commits a read must see, as a position."""

import pytest

from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.routing.consistency import needed, too_soon
from dbproxy.routing.reader import Reader
from dbproxy.routing.wishes import EVENTUAL, GLOBAL, SESSION, Wishes

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
