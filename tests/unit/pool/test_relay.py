"""What the client gets of a chunk, and how far the answer is then."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.writes import Writes
from dbproxy.pool.answer import ANSWERED, OVER, UNDER_WAY
from dbproxy.pool.relay import Relay
from dbproxy.pool.request import Refusal, Request, new_request
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build
from tests.support.speech import BIND_COMPLETE, IDLE, INTRANS, PARSE_COMPLETE, columns, complete, error, row
from tests.unit.cache.fakes import ITEMS, Knowledge, shape_of
from tests.unit.pool.fakes import FakeClient, FakePool, FakeServer


class Line:
    """A server that is lent, and its relay."""

    def __init__(self) -> None:
        pool = FakePool().pool
        self.tenant = pool.tenant
        self.server = FakeServer(pool)
        self.relay = Relay(self.server, pool)
        self.pipeline = self.server.dialogue.pipeline
        self.client = FakeClient()
        self.server.loan.begin(self.client, True, 0.0)

    def ask(self, kinds: str, arrived: float = 0.0) -> None:
        for kind in kinds:
            ends = kind in "QS"
            self.pipeline.expect(ord(kind), new_request(arrived) if ends else None)

    def hear(self, *messages: bytes) -> int:
        state: int = self.relay.feed(b"".join(messages))
        return state


def test_answer_is_over_with_ready_for_query():
    line, answer = Line(), (columns("a"), row("1"), complete(), IDLE)
    line.ask("QQ")
    assert line.hear(*answer) == UNDER_WAY
    assert line.hear(*answer) == OVER
    assert line.client.replies == b"".join(answer * 2)
    assert (line.server.loan.served, line.tenant.stats.query_count, line.tenant.stats.xact_count) == (2, 2, 2)


def test_answer_without_a_sync_is_over_once_nothing_more_is_due():
    line = Line()
    line.ask("PB")
    assert line.hear(PARSE_COMPLETE) == UNDER_WAY
    assert line.hear(BIND_COMPLETE) == ANSWERED
    assert line.tenant.stats.query_count == 0


def test_part_of_a_message_is_forwarded_and_waited_for():
    line = Line()
    line.ask("Q")
    assert line.hear(row("long")[:8]) == UNDER_WAY
    assert line.relay.inside_message()
    assert line.client.replies == row("long")[:8]
    assert line.hear(row("long")[8:], complete(), IDLE) == OVER


def test_answers_to_ours_are_not_forwarded():
    line = Line()
    line.pipeline.skip(ord("Q"))
    line.ask("Q")
    line.hear(columns("a"), row("1"), complete(), IDLE, complete("BEGIN"), INTRANS)
    assert line.client.replies == complete("BEGIN") + INTRANS
    assert (line.tenant.stats.query_count, line.tenant.stats.xact_count) == (1, 0)


def test_faked_reply_comes_in_its_turn():
    line = Line()
    line.ask("B")
    line.pipeline.fake(ord("P"))
    line.ask("ES")
    line.hear(BIND_COMPLETE, complete(), IDLE)
    assert line.client.replies == BIND_COMPLETE + PARSE_COMPLETE + complete() + IDLE


def test_error_that_is_replaced_is_cut_out():
    line, request = Line(), new_request(0.0)
    request.refusal = Refusal("", b"ours")
    line.pipeline.expect(ord("Q"), request)
    assert line.hear(error("42601", "syntax error"), IDLE) == OVER
    assert line.client.replies == b"ours" + IDLE


def test_slow_request_is_told_with_what_it_waited():
    line = Line()
    line.tenant.slow_after = 0.0
    line.server.loan.begin(line.client, False, 5.0)
    line.ask("Q", arrived=3.0)
    line.hear(complete(), IDLE)
    [(_, request, wait, run)] = line.client.calls
    assert isinstance(request, Request)
    assert (request.arrived, wait) == (3.0, 2.0)
    assert run == pytest.approx(line.server.loan.answered_at - 5.0)


def test_server_in_a_broken_state_is_not_lent_again():
    """A Sync that ends a Query's implicit transaction: nothing ran in between."""
    line = Line()
    line.server.dialogue.status = ord("T")
    line.ask("S")
    line.hear(IDLE)
    assert line.server.upkeep.condemned == "a Sync has ended a Query's transaction"


def test_setting_that_changes_is_the_clients_to_know():
    line = Line()
    line.ask("Q")
    told = build.parameter_status("TimeZone", "UTC")
    line.hear(told, complete("SET"), IDLE)
    assert line.client.replies == told + complete("SET") + IDLE
    assert line.client.news.reported == {"timezone": "UTC"}
    line.pipeline.skip(ord("Q"))
    line.hear(build.parameter_status("TimeZone", "Asia/Tokyo"), complete("SET"), IDLE)
    assert line.client.news.unreported == {"TimeZone": "Asia/Tokyo"}


# --- commits that the client hears of ---


def write(*texts: str, stays_open: bool = False) -> tuple[Line, Writes]:
    """A line by which these were sent, where positions are asked for."""
    line, fence = Line(), Fence()
    fence.learn(Knowledge(), 0)
    line.server.dialogue.traces.effects |= WRITES
    writes = line.server.loan.writes = Writes(fence)
    for text in texts:
        writes.note(shape_of(text), stays_open)
    return line, writes


def test_commit_is_pending_from_when_its_client_hears_of_it():
    line, writes = write("INSERT INTO items VALUES (1)")
    line.ask("Q")
    line.hear(complete("INSERT 0 1"))
    assert not writes.unplaced.commits
    line.hear(IDLE)
    assert writes.unplaced.commits == [writes.fence.find(ITEMS).last]


def test_commit_that_nobody_will_ask_about_is_lost():
    line, writes = write("INSERT INTO items VALUES (1)")
    line.server.dialogue.traces.effects = 0
    line.ask("Q")
    line.hear(complete("INSERT 0 1"), IDLE)
    assert writes.fence.find(ITEMS).last.lost_at
    assert not line.tenant.commits.lost_at  # a read, by all that routing knows


@pytest.mark.parametrize("status", [INTRANS, IDLE])
def test_commit_ahead_of_more_is_lost_until_that_is_over(status: bytes):
    """COMMIT AND CHAIN; or a request that was sent behind it."""
    line, writes = write("INSERT INTO items VALUES (1)", "COMMIT", stays_open=True)
    line.ask("QQ")
    line.hear(complete("COMMIT"), status)
    assert writes.fence.find(ITEMS).last.lost_at
    assert line.tenant.commits.lost_at


def test_transaction_that_is_open_is_no_commit():
    line, writes = write("INSERT INTO items VALUES (1)", stays_open=True)
    line.ask("Q")
    line.hear(complete("INSERT 0 1"), INTRANS)
    assert not writes.unplaced.commits
    assert not writes.fence.find(ITEMS).last.lost_at
