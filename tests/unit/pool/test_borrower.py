"""What a borrower need not do by itself: it sees all that PostgreSQL says, and nothing is sent again for it."""

from typing import Any

import pytest

from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dues import new_bind
from dbproxy.pool.failure import ends_unlent, fail, rescue
from dbproxy.pool.prepared import Statement
from tests.support.speech import error
from tests.unit.pool.fakes import FakeClient, make_answer

STALE = error("0A000", "cached plan must not change result type", routine="RevalidateCachedQuery")[5:]
SHUTDOWN = error("57P01", "terminating connection", severity="FATAL")[5:]


def make_bind() -> Any:
    """An answer under way to a request that names a statement."""
    answer, statement = make_answer(), Statement(b"SELECT 1\0\0\0")
    answer.dialogue.pipeline.expect(ord("B"), new_bind(b"s", statement.name, statement, False))
    answer.dialogue.pipeline.expect(ord("S"))
    return answer


@pytest.mark.parametrize(
    ("duty", "arguments"),
    [
        ("serve", (None, 0.0)),
        ("refuse", (None,)),
        ("reply", (b"",)),
        ("finished", (ord("I"),)),
        ("server_lost", (None, False)),
    ],
)
def test_how_a_loan_begins_goes_on_and_ends_is_for_each_kind_to_say(duty: str, arguments: tuple[Any, ...]):
    with pytest.raises(NotImplementedError):
        getattr(Borrower(), duty)(*arguments)


def test_error_that_could_be_mended_is_told():
    answer = make_bind()
    assert not fail(answer, STALE)
    assert not answer.retrying


def test_error_of_a_replica_is_told():
    answer = make_bind()
    assert not rescue(answer, answer.loan.client, error("40001", "conflict with recovery")[5:])
    assert not answer.retrying


def test_end_of_the_connection_is_told():
    answer = make_answer()
    assert not ends_unlent(answer, SHUTDOWN)
    assert not fail(answer, SHUTDOWN)
    assert answer.loan.told


def test_each_borrower_has_news_of_its_own():
    one, two = FakeClient(), FakeClient()
    one.news.note("TimeZone", "UTC", told=False)
    assert one.news.any()
    assert not two.news.any()
