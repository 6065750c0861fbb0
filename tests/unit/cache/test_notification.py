"""What is told of notifications, and how it is seen that they still come; no server."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.notification import SILENCE, STATUS, Notifications
from dbproxy.cache.triggers import read_triggered, spell_triggers
from dbproxy.cache.witness import Witness
from dbproxy.errors import ProtocolViolation, ServerLost, ServerUnavailable
from tests.support.speech import error
from tests.unit.cache.fakes import ITEMS, OTHERS, Knowledge

NOTIFICATION, READY = ord("A"), ord("Z")


@pytest.fixture
def fence() -> Fence:
    made = Fence()
    made.learn(Knowledge(below={OTHERS: ITEMS}), 0)
    return made


@pytest.fixture
def heard(fence: Fence) -> Notifications:
    made = Notifications(Witness(fence, lambda: None))
    made.begin(100.0)
    return made


def says(text: str, channel: str = "dbproxy_cache") -> bytes:
    return b"\0\0\0\7" + channel.encode() + b"\0" + text.encode() + b"\0"


def test_nothing_is_current_before_it_listens_and_nothing_of_before_counts(fence: Fence):
    heard = Notifications(Witness(fence, lambda: None))
    before = fence.whole.generation
    assert fence.whole.committing
    heard.begin(100.0)
    assert not fence.whole.committing
    assert fence.whole.generation > before


def test_table_that_was_written_is_another_one_and_open(fence: Fence, heard: Notifications):
    heard.hear(NOTIFICATION, says(str(ITEMS)), 101.0)
    assert (fence.find(ITEMS).generation, fence.find(ITEMS).committing) == (1, 0)
    assert fence.find(OTHERS).generation == 0
    assert fence.count_invalidations()["notification"] == 1


def test_what_is_below_a_table_may_have_been_written_with_it(fence: Fence, heard: Notifications):
    heard.hear(NOTIFICATION, says(str(OTHERS)), 101.0)
    assert fence.find(ITEMS).generation == fence.find(OTHERS).generation == 1


@pytest.mark.parametrize("text", ["", "items", "12 13", "-1", "9" * 30])
def test_what_names_no_table_is_all_of_the_database(fence: Fence, heard: Notifications, text: str):
    before = fence.whole.generation
    heard.hear(NOTIFICATION, says(text), 101.0)
    assert fence.whole.generation == before + 1


def test_table_that_was_not_there_when_it_was_looked_is_none_that_answers_depend_on(
    fence: Fence, heard: Notifications
):
    before = fence.whole.generation
    heard.hear(NOTIFICATION, says("999"), 101.0)
    assert (fence.whole.generation, list(fence.tables)) == (before, [])


def test_other_channels_are_of_no_interest(fence: Fence, heard: Notifications):
    before = fence.whole.generation
    heard.hear(NOTIFICATION, says("1", "mine"), 101.0)
    assert (fence.whole.generation, fence.find(ITEMS).generation) == (before, 0)


def test_end_closes_everything_once(fence: Fence, heard: Notifications):
    heard.end("lost")
    heard.end("lost")
    assert fence.whole.committing == 1


def test_error_of_the_server_is_the_end(heard: Notifications):
    with pytest.raises(ServerLost, match="shutting down"):
        heard.hear(ord("E"), error("57P01", "shutting down")[5:], 101.0)


def test_server_is_asked_whether_it_is_there(heard: Notifications):
    assert not heard.claim_status(100.0 + STATUS / 2)
    assert heard.claim_status(100.0 + STATUS)
    assert not heard.claim_status(100.0 + STATUS)
    heard.hear(READY, b"I", 110.0)
    assert not heard.is_silent(109.0 + SILENCE)
    assert heard.is_silent(110.0 + SILENCE)


def test_tables_are_those_that_the_server_names():
    assert read_triggered([[b"16384 16390"]]) == {16384, 16390}
    assert read_triggered([[b""]]) == frozenset()
    with pytest.raises(ServerUnavailable) as raised:
        read_triggered([])
    assert "cache install" in raised.value.hint
    with pytest.raises(ProtocolViolation):
        read_triggered([[b"many"]])


def test_trigger_is_made_where_there_is_none():
    (script,) = spell_triggers([("public.items", True), ("public.others", False)])
    assert "ON public.others" in script
    assert "public.items" not in script
