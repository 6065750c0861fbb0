"""A transaction that browses: when what is kept answers, what ends that, and what its server never hears of."""

from typing import Any

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.memory import Memory
from dbproxy.cache.tally import HIT, MISS, VERIFIED, WOULD_HIT
from dbproxy.config.cache import CacheKeys
from dbproxy.features.mode import Feature
from dbproxy.pool.defaults import Snapshot
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.wire import build
from tests.support import speech
from tests.unit.cache.fakes import ITEMS, Knowledge
from tests.unit.session.fakes import BEGUN, ask, make_client, make_server, query, routed, sent

BEGIN, READ, OTHER, COMMIT = map(
    build.query, ("BEGIN READ ONLY", "SELECT a FROM items", "SELECT b FROM others", "COMMIT")
)
ROWS = speech.columns("a") + speech.row("1") + speech.complete("SELECT 1")
KEPT = ROWS + speech.INTRANS
LEVEL = "default_transaction_isolation"
DEFAULTS = {LEVEL: "read committed", "default_transaction_read_only": "off"}


def keep_answers(pool: Pool, **defaults: str) -> CacheGate:
    """A gate of its database and user; new sessions get these defaults."""
    fence = Fence()
    fence.learn(Knowledge(), fence.alterations)
    settings = CacheKeys.model_validate({"mode": "on", "verify": 0})
    gate = CacheGate("h/d", "d", "u", fence, Memory(100_000), Feature("cache", "on", 100), settings)
    pool.tenant.gates = (gate,)
    pool.defaults.snapshot = Snapshot(DEFAULTS | defaults)
    return gate


@pytest.fixture
def client() -> Client:
    made = make_client()
    keep_answers(made.pool)
    return made


def begin(client: Client, *statements: str) -> Server:
    """In a transaction, with what was asked there being kept; nothing is left to be seen."""
    server = make_server(client.pool)
    for text in statements or ("BEGIN READ ONLY",):
        query(client, text)
        server.data_received(BEGUN)
    ask(client, READ)
    server.data_received(KEPT)
    sent(client), sent(server)
    return server


def is_answered(client: Client, server: Server) -> bool:
    """Whether what was read there before is read again without the server."""
    ask(client, READ)
    asked = sent(server)
    if asked:
        assert asked == READ
        server.data_received(KEPT)
    assert sent(client) == KEPT
    return not asked


def outcomes(client: Client) -> list[int]:
    gate: Any = client.pool.tenant.gates[0]
    return [gate.tally.outcomes[name] for name in (HIT, MISS)]


def test_read_of_a_read_only_transaction_is_answered(client: Client):
    server = begin(client)
    assert is_answered(client, server)
    assert is_answered(client, server)
    assert outcomes(client) == [2, 1]
    assert client.pool.stats.query_count == 4
    ask(client, COMMIT)
    server.data_received(speech.complete("COMMIT") + speech.IDLE)
    assert (sent(server), client.server) == (COMMIT, None)
    ask(client, READ)
    sent(client)
    assert outcomes(client) == [3, 1]


def test_what_was_kept_outside_is_answered_inside(client: Client):
    server = make_server(client.pool)
    ask(client, READ)
    server.data_received(ROWS + speech.IDLE)
    ask(client, BEGIN)
    server.data_received(BEGUN)
    sent(client), sent(server)
    assert is_answered(client, server)


def test_extended_queries_are_answered_and_their_statements_kept(client: Client):
    server = begin(client)
    ask(
        client,
        build.parse("s", "SELECT a FROM items"),
        speech.bind("s"),
        speech.describe_portal(),
        speech.execute(),
        speech.SYNC,
    )
    assert sent(server) == b""
    assert sent(client) == speech.PARSE_COMPLETE + speech.BIND_COMPLETE + KEPT
    ask(client, speech.bind("s"), speech.execute(), speech.SYNC)
    assert (sent(server), client.prepared.knows(b"s")) == (b"", True)
    assert sent(client) == speech.BIND_COMPLETE + KEPT[len(speech.columns("a")) :]


def test_transaction_that_begins_in_one_series_with_its_first_read_is_answered(client: Client):
    """As JDBC begins it."""
    server = make_server(client.pool)
    series = [build.parse("", "BEGIN READ ONLY"), speech.bind(), speech.execute()]
    series += [
        build.parse("", "SELECT b FROM others"),
        speech.bind(),
        speech.describe_portal(),
        speech.execute(),
    ]
    ask(client, *series, speech.SYNC)
    told = speech.PARSE_COMPLETE + speech.BIND_COMPLETE
    server.data_received(told + speech.complete("BEGIN") + told + KEPT)
    ask(client, READ)
    server.data_received(KEPT)
    sent(client), sent(server)
    assert is_answered(client, server)


def test_transaction_that_begins_in_one_breath_with_more_than_reads_is_not(client: Client):
    server = make_server(client.pool)
    ask(client, BEGIN, build.query("SET LOCAL work_mem = '1MB'"))
    server.data_received(BEGUN + speech.complete("SET") + speech.INTRANS)
    ask(client, READ)
    server.data_received(KEPT)
    sent(client), sent(server)
    assert not is_answered(client, server)


def test_what_could_be_answered_is_carried_out_where_that_is_observed_or_verified(client: Client):
    server = begin(client)
    gate: Any = client.pool.tenant.gates[0]
    gate.apply(CacheKeys.model_validate({"mode": "on", "verify": 1}), ())
    assert not is_answered(client, server)
    gate.apply(CacheKeys.model_validate({"mode": "observe", "verify": 0}), ())
    assert not is_answered(client, server)
    counted = [gate.tally.outcomes[name] for name in (HIT, VERIFIED, WOULD_HIT)]
    assert (counted, gate.tally.mismatches) == ([0, 1, 1], 0)


def test_what_a_server_says_that_is_not_what_is_kept_is_noticed(client: Client):
    server = begin(client)
    gate: Any = client.pool.tenant.gates[0]
    gate.apply(CacheKeys.model_validate({"mode": "on", "verify": 1}), ())
    ask(client, READ)
    server.data_received(speech.rows("2") + speech.INTRANS)
    assert gate.tally.mismatches == 1


def test_client_that_is_answered_is_not_idle(client: Client):
    server = begin(client)
    assert is_answered(client, server)
    assert client.last_active() == client.inbound.arrived > server.loan.answered_at


def test_only_what_stands_alone_is_answered(client: Client):
    """The others' answers come first."""
    server = begin(client)
    ask(client, OTHER)
    ask(client, READ)
    assert sent(server) == OTHER + READ
    server.data_received(KEPT + KEPT)
    sent(client)
    ask(client, READ, READ)
    assert sent(server) == READ + READ
    server.data_received(KEPT + KEPT)
    assert sent(client) == KEPT + KEPT
    assert is_answered(client, server)


def test_what_goes_on_with_a_request_goes_to_its_server(client: Client):
    server = begin(client)
    ask(client, build.parse("s", "SELECT a FROM items"), speech.FLUSH)
    sent(server)
    server.data_received(speech.PARSE_COMPLETE)
    sent(client)
    ask(client, speech.bind("s"), speech.execute(), speech.SYNC)
    assert sent(server)
    server.data_received(
        speech.BIND_COMPLETE + speech.row("1") + speech.complete("SELECT 1") + speech.INTRANS
    )
    sent(client)
    assert is_answered(client, server)


def test_server_that_has_heard_nothing_for_a_while_is_asked(client: Client):
    """PostgreSQL may end a transaction that is idle, and this one is not."""
    server = begin(client)
    server.loan.answered_at -= 1.0
    assert not is_answered(client, server)
    assert is_answered(client, server)


def test_what_is_set_for_no_transaction_is_not_of_the_next(client: Client):
    """PostgreSQL warns of it, and goes on."""
    server = make_server(client.pool)
    client.pool.defaults.snapshot = Snapshot({**DEFAULTS, LEVEL: "repeatable read"})
    query(client, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    ask(client, BEGIN)
    server.data_received(speech.complete("SET") + speech.IDLE + BEGUN)
    ask(client, READ)
    server.data_received(KEPT)
    sent(client), sent(server)
    assert not is_answered(client, server)


@pytest.mark.parametrize(
    "text",
    [
        "SAVEPOINT a",
        "SET LOCAL work_mem = '1MB'",
        "SELECT do_it()",
        "SELECT FROM unheard_of",
        "BEGIN",
        "SHOW work_mem",
    ],
)
def test_what_is_no_known_read_ends_it(client: Client, text: str):
    server = begin(client)
    query(client, text)
    server.data_received(speech.complete() + speech.INTRANS)
    sent(client), sent(server)
    assert not is_answered(client, server)
    assert not is_answered(client, server)


def test_failed_transaction_is_answered_by_its_server(client: Client):
    server = begin(client)
    ask(client, OTHER)
    server.data_received(speech.error("22012", "division by zero") + speech.INERROR)
    sent(client), sent(server)
    ask(client, READ)
    assert sent(server) == READ


def test_message_that_is_cut_ends_it(client: Client):
    server = begin(client)
    text = "SELECT a FROM items WHERE a = $1"
    whole = build.parse("", text) + speech.bind("", "x" * 200_000) + speech.execute() + speech.SYNC
    ask(client, whole[:100_000])
    ask(client, whole[100_000:])
    assert sent(server) == whole
    server.data_received(
        speech.PARSE_COMPLETE + speech.BIND_COMPLETE + speech.complete("SELECT 0") + speech.INTRANS
    )
    sent(client)
    assert not is_answered(client, server)


def test_gate_that_is_gone_answers_nothing(client: Client):
    server = begin(client)
    client.pool.tenant.gates = ()
    assert not is_answered(client, server)


def test_notification_waits_for_the_end(client: Client):
    server = begin(client)
    client.news.messages.append(speech.notification("news", "x"))
    assert is_answered(client, server)


def test_who_leaves_lets_go_of_what_others_wait_for(client: Client):
    server = begin(client)
    ask(client, OTHER)
    gate: Any = client.pool.tenant.gates[0]
    assert len(gate.flying) == 1
    client.disconnect("gone")
    assert (len(gate.flying), server.loan.fill) == (0, None)


# --- of which kind it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "statements", "settings", "defaults"),
    [
        (True, ["BEGIN READ ONLY"], {}, {}),
        (True, ["BEGIN"], {"default_transaction_read_only": "ON"}, {}),
        (True, ["BEGIN"], {}, {"default_transaction_read_only": "on"}),
        (True, ["BEGIN", "SET TRANSACTION READ ONLY"], {}, {}),
        (True, ["BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"], {LEVEL: "repeatable read"}, {}),
        (True, ["BEGIN READ ONLY"], {LEVEL: "Read Uncommitted"}, {LEVEL: "serializable"}),
        (False, ["BEGIN"], {}, {}),
        (False, ["BEGIN READ WRITE"], {"default_transaction_read_only": "on"}, {}),
        (False, ["BEGIN"], {"default_transaction_read_only": "off"}, {"default_transaction_read_only": "on"}),
        (False, ["BEGIN READ ONLY"], {LEVEL: "repeatable read"}, {}),
        (False, ["BEGIN READ ONLY"], {}, {LEVEL: "repeatable read"}),
        (False, ["BEGIN READ ONLY"], {}, {LEVEL: ""}),
        (False, ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"], {}, {}),
        (False, ["BEGIN READ ONLY", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"], {}, {}),
        (False, ["BEGIN READ ONLY", "SET TRANSACTION READ WRITE"], {}, {}),
    ],
)
def test_isolation_and_access_mode_are_known(
    answered: bool, statements: list[str], settings: dict[str, str], defaults: dict[str, str]
):
    client = make_client(start=settings)
    keep_answers(client.pool, **defaults)
    server = make_server(client.pool)
    server.dialogue.settings = client.settings
    for text in statements:
        query(client, text)
        server.data_received(BEGUN)
    for _ in range(2):
        ask(client, READ)
        if sent(server):
            server.data_received(KEPT)
    sent(client)
    assert is_answered(client, server) == answered


def test_defaults_of_an_older_server_are_not_known(client: Client):
    server = make_server(client.pool)
    ask(client, BEGIN)
    client.pool.retire("settings were altered")
    server.data_received(BEGUN)
    ask(client, READ)
    server.data_received(KEPT)
    sent(client), sent(server)
    assert not is_answered(client, server)
    gate: Any = client.pool.tenant.gates[0]
    assert gate.tally.bypassed["the isolation of its transaction is not known"] == 1


# --- on a replica ---------------------------------------------------------------------------------------------


@pytest.fixture
def stage() -> tuple[Client, Server, Server]:
    """A client in a transaction on a replica that has all that was committed; what it has read is kept."""
    client, primary, replica = routed()
    keep_answers(client.pool)
    commits, host = client.pool.tenant.commits, replica.pool.host
    commits.known, commits.known_for, host.position.lsn = 1, float("inf"), 1 << 40
    ask(client, BEGIN)
    assert client.server is replica
    replica.data_received(BEGUN)
    ask(client, READ)
    replica.data_received(KEPT)
    sent(client), sent(replica)
    return client, primary, replica


def test_transaction_on_a_replica_is_answered(stage: tuple[Client, Server, Server]):
    client, _, replica = stage
    assert is_answered(client, replica)


def test_replica_with_other_defaults_is_not_known(stage: tuple[Client, Server, Server]):
    client, _, replica = stage
    ask(client, COMMIT)
    replica.data_received(speech.complete("COMMIT") + speech.IDLE)
    replica.pool.host.differing = {LEVEL}
    ask(client, BEGIN)
    replica.data_received(BEGUN)
    sent(client), sent(replica)
    assert not is_answered(client, replica)


def test_replica_that_may_be_behind_what_is_kept_answers_itself(stage: tuple[Client, Server, Server]):
    client, _, replica = stage
    client.pool.tenant.commits.known_for = 0.0
    gate: Any = client.pool.tenant.gates[0]
    table = gate.cases.fence.find(ITEMS)
    assert table.left_at > 0.0
    assert not is_answered(client, replica)


def test_what_is_answered_here_is_nothing_that_the_replica_has_told():
    """So the transaction can be begun again on the primary."""
    client, primary, replica = routed()
    keep_answers(client.pool)
    commits, host = client.pool.tenant.commits, replica.pool.host
    commits.known, commits.known_for, host.position.lsn = 1, float("inf"), 1 << 40
    ask(client, READ)
    replica.data_received(ROWS + speech.IDLE)
    ask(client, BEGIN)
    replica.data_received(BEGUN)
    sent(client), sent(replica)
    assert is_answered(client, replica)
    ask(client, build.query("SELECT nextval('s')"))
    assert sent(replica) == build.query("ROLLBACK")
    replica.data_received(speech.complete("ROLLBACK") + speech.IDLE)
    assert client.server is primary
    assert sent(primary) == BEGIN + build.query("SELECT nextval('s')")
    primary.data_received(BEGUN + speech.rows("7") + speech.INTRANS)
    sent(client), sent(primary)
    assert not is_answered(client, primary)
