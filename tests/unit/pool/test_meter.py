"""What is counted of statements, and when, by a clock of the test's."""

import pytest

from dbproxy.observe.habits import LARGE, SAMPLED, SAMPLES
from dbproxy.observe.queries import sum_entry
from dbproxy.observe.querystats import ROLES, Entry, QueryStats
from dbproxy.observe.sums import Sums
from dbproxy.pool.dues import UNNAMED, new_parse
from dbproxy.pool.execution import Execution, new_execution
from dbproxy.pool.meter import Meter, make_meter
from dbproxy.pool.request import Request, new_request
from dbproxy.sql.cache import StatementCache
from dbproxy.wire import build
from tests.support.speech import error
from tests.unit.pool.fakes import FakeClient, FakePool, FakeServer

READS, WRITES = b"SELECT a FROM t WHERE b = 1", b"UPDATE t SET a = 1"


class Line:
    """A server that is lent at `since`, and its meter."""

    def __init__(self, *, replica: bool = False, since: float = 10.0) -> None:
        self.server = FakeServer(FakePool().pool)
        self.pipeline = self.server.dialogue.pipeline
        self.loan = self.server.loan
        self.stats = QueryStats(1000, 1 << 20, 0.0)
        self.cache = StatementCache(100)
        account = self.stats.find_account("app", "app")
        self.meter = Meter(self.stats, account, self.server.dialogue, self.loan, replica=replica)
        self.loan.begin(FakeClient(), True, since)

    def query(self, text: bytes, arrived: float) -> Request:
        request = new_request(arrived)
        message = build.query(text.decode())
        request.note_text(message, 0)
        request.shape = self.cache.find(text)
        self.pipeline.expect(ord("Q"), request)
        return request

    def execute(
        self, text: bytes, arrived: float, limit: int = 0, first: Execution | None = None
    ) -> Execution:
        execution = new_execution(self.cache.find(text), text, first)
        execution.send(arrived, limit)
        self.pipeline.expect(ord("E"), execution)
        return execution

    def complete(self, tag: str, now: float) -> None:
        self.hear("C", build.command_complete(tag), now)

    def hear(self, kind: str, message: bytes, now: float) -> None:
        self.pipeline.receive(ord(kind))
        self.meter.end(ord(kind), message, 0, now)
        self.meter.pass_chunk(len(message))

    def ready(self, now: float, status: str = "I") -> None:
        self.server.dialogue.status = ord(status)
        self.pipeline.receive(ord("Z"))
        assert isinstance(self.pipeline.ended, Request)
        self.meter.ready(self.pipeline.ended, 6, now)
        self.meter.pass_chunk(6)

    def sync(self, now: float) -> None:
        self.pipeline.expect(ord("S"), new_request(0.0))
        self.ready(now)

    def ask(self, text: bytes, arrived: float, now: float, status: str = "I") -> None:
        """A Query, whole."""
        self.query(text, arrived)
        self.complete("SELECT 1", now)
        self.ready(now, status)

    def entry(self, text: bytes) -> Entry:
        (found,) = [entry for entry in self.stats.ring if entry.id == self.cache.find(text).name()]
        return found

    def sums(self, text: bytes) -> Sums:
        return sum_entry(self.entry(text), None, 0)


def times(sums: Sums) -> tuple[float, ...]:
    return tuple(us / 1e6 for us in (sums.total_us, sums.wait_us, sums.run_us, sums.stall_us))


def test_query_is_counted_at_its_ready_for_query():
    line = Line()
    line.query(READS, 10.0)
    line.complete("SELECT 3", 11.0)
    line.complete("INSERT 0 4", 12.0)
    assert line.stats.ring == []
    line.ready(12.5)
    sums = line.sums(READS)
    assert (sums.calls, sums.rows, sums.errors) == (1, 7, 0)
    assert (
        sums.bytes_sent == len(build.command_complete("SELECT 3") + build.command_complete("INSERT 0 4")) + 6
    )
    assert times(sums) == (2.5, 0.0, 2.5, 0.0)


def test_waiting_is_until_the_server_was_lent():
    line = Line(since=10.0)
    line.ask(READS, 7.0, 11.0)
    assert times(line.sums(READS)) == (4.0, 3.0, 1.0, 0.0)


def test_stalling_is_no_running():
    line = Line()
    line.loan.stalled = 30.0
    line.ask(READS, 10.0, 42.0)
    assert times(line.sums(READS)) == (32.0, 0.0, 2.0, 30.0)
    line.ask(WRITES, 50.0, 51.0)
    assert times(line.sums(WRITES)) == (1.0, 0.0, 1.0, 0.0)


def test_statements_of_a_pipeline_follow_each_other():
    line = Line()
    line.execute(READS, 10.0)
    line.execute(WRITES, 10.0)
    line.complete("SELECT 2", 11.0)
    line.complete("UPDATE 5", 13.0)
    line.sync(13.0)
    assert times(line.sums(READS)) == (1.0, 0.0, 1.0, 0.0)
    assert times(line.sums(WRITES)) == (2.0, 0.0, 2.0, 0.0)
    assert (line.sums(READS).rows, line.sums(WRITES).rows) == (2, 5)


def test_suspended_portal_is_one_call():
    line = Line()
    first = line.execute(READS, 10.0, limit=5)
    line.hear("s", b"s\0\0\0\4", 11.0)
    assert line.stats.ring == []
    line.execute(READS, 20.0, first=first)
    line.complete("SELECT 2", 21.5)
    sums = line.sums(READS)
    assert (sums.calls, sums.rows, sums.total_us) == (1, 7, 2_500_000)
    line.sync(22.0)
    assert line.sums(READS).calls == 1


def test_portal_that_stays_suspended_is_counted_at_the_end_of_its_transaction():
    line = Line()
    line.execute(READS, 10.0, limit=5)
    line.hear("s", b"s\0\0\0\4", 11.0)
    line.sync(30.0)
    assert (line.sums(READS).calls, line.sums(READS).rows, line.sums(READS).total_us) == (1, 5, 1_000_000)


def test_portal_that_has_given_all_is_not_counted_again():
    line = Line()
    first = line.execute(READS, 10.0)
    line.complete("SELECT 2", 11.0)
    line.execute(READS, 11.0, first=first)
    line.complete("SELECT 0", 12.0)
    assert line.sums(READS).calls == 1


def test_failed_query_is_counted_once():
    line = Line()
    line.query(READS, 10.0)
    due = line.meter.find_failing()
    assert due is not None
    line.meter.fail(due, error("57014", "no")[5:], 50, 11.0)
    line.pipeline.fail()
    line.ready(11.0)
    assert (line.sums(READS).calls, line.sums(READS).states) == (1, {"57014": 1})


def test_failed_execute_is_its_own_call_and_those_behind_it_are_none():
    line = Line()
    line.pipeline.expect(ord("P"), new_parse(b"", None, b"", None))
    line.execute(READS, 10.0)
    line.execute(WRITES, 10.0)
    due = line.meter.find_failing()
    assert due is not None
    line.meter.fail(due, error("22012", "no")[5:], 50, 11.0)
    line.pipeline.fail()
    line.sync(11.0)
    assert (line.sums(READS).calls, line.sums(READS).states) == (1, {"22012": 1})
    assert len(line.stats.ring) == 1


def test_error_at_the_sync_is_of_the_statement_before_it():
    line = Line()
    line.execute(READS, 10.0)
    line.complete("SELECT 2", 11.0)
    line.pipeline.expect(ord("S"), new_request(10.0))
    due = line.meter.find_failing()
    assert due is not None
    line.meter.fail(due, error("23505", "no")[5:], 50, 12.0)
    assert (line.sums(READS).calls, line.sums(READS).states) == (1, {"23505": 1})


def test_error_of_what_is_only_prepared_is_not_lost():
    line = Line()
    line.pipeline.expect(ord("P"), new_parse(b"", None, b"", None))
    line.pipeline.expect(ord("D"), UNNAMED)
    due = line.meter.find_failing()
    assert due is not None
    line.meter.fail(due, error("42601", "no")[5:], 50, 11.0)
    (entry,) = line.stats.ring
    assert (entry.text, sum_entry(entry, None, 0).states) == ("(not known)", {"42601": 1})


@pytest.mark.parametrize("simple", [True, False])
def test_what_is_not_answered_is_lost(simple: bool):
    line = Line()
    if simple:
        line.query(READS, 10.0)
    else:
        line.execute(READS, 10.0)
    line.meter.lose(12.0)
    line.meter.lose(13.0)
    sums = line.sums(READS)
    assert (sums.calls, sums.errors, sums.lost, sums.total_us) == (1, 1, 1, 2_000_000)


def test_nothing_is_lost_with_an_idle_server():
    line = Line()
    line.meter.lose(12.0)
    assert line.stats.ring == []


def test_answers_to_our_own_queries_are_nobodys_bytes():
    line = Line()
    line.meter.skip(400)
    line.meter.pass_chunk(400)
    line.ask(READS, 10.0, 11.0)
    assert line.sums(READS).bytes_sent == len(build.command_complete("SELECT 1")) + 6


def test_rows_and_bytes_of_an_errand_are_nobodys():
    line = Line()
    line.pipeline.expect(ord("Q"))
    line.complete("SELECT 11", 9.0)
    line.pipeline.receive(ord("Z"))
    line.meter.disown(6)
    line.meter.pass_chunk(6)
    line.ask(READS, 10.0, 11.0)
    sums = line.sums(READS)
    assert (len(line.stats.ring), sums.calls, sums.rows) == (1, 1, 1)
    assert sums.bytes_sent == len(build.command_complete("SELECT 1")) + 6


def test_role_is_that_of_the_host():
    line = Line(replica=True)
    line.ask(READS, 10.0, 11.0)
    assert ROLES[line.entry(READS).role] == "replica"


def test_loop_and_lone_read_of_a_transaction():
    line = Line()
    line.ask(b"BEGIN", 10.0, 10.1, "T")
    for number in range(25):
        line.ask(READS, 11.0 + number, 11.1 + number, "T")
    line.ask(b"COMMIT", 40.0, 40.1)
    assert (line.entry(READS).habits.loops, line.entry(READS).habits.longest_loop) == (1, 25)
    assert line.entry(READS).habits.lone_reads == 1


@pytest.mark.parametrize(("begin", "other"), [(b"BEGIN", WRITES), (b"BEGIN READ ONLY", READS)])
def test_transaction_that_writes_or_cannot_has_no_lone_read(begin: bytes, other: bytes):
    line = Line()
    line.ask(begin, 10.0, 10.1, "T")
    line.ask(READS, 11.0, 11.1, "T")
    line.ask(other, 12.0, 12.1, "T")
    line.ask(b"COMMIT", 13.0, 13.1)
    assert line.entry(READS).habits.lone_reads == 0


def test_pipelined_reads_are_no_loop():
    line = Line()
    line.ask(b"BEGIN", 10.0, 10.1, "T")
    for _ in range(25):
        line.execute(READS, 11.0)
    for _ in range(25):
        line.complete("SELECT 1", 11.5)
    assert line.entry(READS).habits.loops == 0


def test_idling_is_of_the_statement_before():
    line = Line()
    line.ask(b"BEGIN", 10.0, 10.0, "T")
    line.ask(WRITES, 10.5, 11.0, "T")
    line.ask(b"COMMIT", 16.0, 16.5)
    assert line.entry(WRITES).habits.longest_idle_us == 5_000_000
    assert line.entry(b"BEGIN").habits.longest_idle_us == 500_000
    line.ask(READS, 99.0, 99.5)
    assert line.entry(b"COMMIT").habits.idle_count == 0


def test_client_that_leaves_its_transaction_has_idled_in_it():
    line = Line()
    line.ask(b"BEGIN", 10.0, 10.0, "T")
    line.ask(WRITES, 10.5, 11.0, "T")
    line.meter.lose(15.0)
    assert line.entry(WRITES).habits.longest_idle_us == 4_000_000


@pytest.mark.parametrize(
    ("text", "patterns"),
    [("SELECT {} FROM t", ["many_texts"]), ("EXECUTE s({})", [])],
    ids=["query", "execute"],
)
def test_values_of_an_execute_do_not_make_other_texts(text: str, patterns: list[str]):
    line = Line()
    for number in range(3 * SAMPLES * SAMPLED):
        line.ask(text.format(number).encode(), 10.0, 10.1)
    (entry,) = line.stats.ring
    assert entry.habits.describe() == patterns


@pytest.mark.parametrize(
    ("text", "rows", "patterns"),
    [
        ("SELECT a FROM t", LARGE + 1, ["large_result"]),
        ("SELECT a FROM t", LARGE, []),
        ("SELECT a FROM t LIMIT 20000", LARGE + 1, []),
        ("SELECT a FROM t FETCH FIRST 20000 ROWS ONLY", LARGE + 1, []),
        ("UPDATE t SET a = 1", LARGE + 1, []),
    ],
)
def test_large_result_is_of_a_query_without_limit(text: str, rows: int, patterns: list[str]):
    line = Line()
    line.query(text.encode(), 10.0)
    line.complete(f"SELECT {rows}", 11.0)
    line.ready(11.0)
    habits = line.entry(text.encode()).habits
    assert (habits.describe(), habits.largest_result) == (patterns, rows if patterns else 0)


def test_there_is_none_where_nothing_is_counted():
    server = FakeServer(FakePool().pool)
    assert make_meter(FakePool().pool.tenant, server.dialogue, server.loan, replica=False) is None


def test_error_of_what_nothing_executes_is_no_statements_before_it():
    line = Line()
    line.ask(b"BEGIN", 10.0, 11.0, "T")
    line.pipeline.expect(ord("B"))
    line.pipeline.expect(ord("S"), new_request(12.0))
    failing = line.meter.find_failing()
    assert failing is not None
    line.meter.fail(failing, error("42P03", "no")[5:], 0, 13.0)
    assert line.sums(b"BEGIN").errors == 0
    (unknown,) = [entry for entry in line.stats.ring if entry.text == "(not known)"]
    assert sum_entry(unknown, None, 0).states == {"42P03": 1}
