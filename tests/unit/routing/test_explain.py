"""Where a statement would go is told in words, and told as the router would decide it."""

import pytest

from dbproxy.cluster.catalog import Catalog, Definition
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.finding import Finding
from dbproxy.config import RuleSettings, Settings, load
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.pool import Pool
from dbproxy.pool.tenant import Tenant
from dbproxy.routing.explain import explain_route, explain_text
from dbproxy.routing.reader import Reader
from dbproxy.routing.rescues import RESCUED_LIMIT
from dbproxy.routing.router import READ_ONLY, READS, Router
from tests.support.other_sql import OTHERS
from tests.support.reads_sql import READS as READ_TEXTS
from tests.support.reads_sql import lines

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://app:secret@primary.example/app",
    "DATABASE_READ_REPLICAS": "postgresql://app:secret@one.example/app,postgresql://app:secret@two.example/app",
    "DBPROXY_ROUTING__SLOW_START": "0s",
}
ITEMS = b"SELECT * FROM items"


def settings(**routing: str) -> Settings:
    return load(
        None,
        {**ENVIRONMENT, **{f"DBPROXY_ROUTING__{key.upper()}": value for key, value in routing.items()}},
    )


def router(**routing: str) -> Router:
    """A primary and two replicas that answer, a catalog without anything of note."""
    own = settings(**{"consistency": "session", **routing})
    cluster = Cluster(own, 100.0)
    for member in cluster.members:
        role = "primary" if member.name == "primary" else "replica"
        cluster.learn(member, Finding(role, True, 0x3000060, 1, 0x3000060, True), 100.0)
    pool = Pool(Tenant("app", "app", own.pool_for("app", "app")), lambda _: None, lambda _: None)
    found = Router(pool, cluster, own.routing, lambda _: pool)
    found.learn(Catalog())
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INSERT INTO items VALUES (1)", "it is no read"),
        ("SELECT * FROM items FOR UPDATE", "it is no read"),
        ("CREATE TABLE x ()", "it changes the schema"),
        ("SHOW dbproxy.causal_token", "it asks where its own session is"),
        ("BEGIN", "it begins a transaction, which may write"),
        ("SET work_mem = 1", "it does something to its session"),
        ("SELECT query_to_xml('x', true, true, '')", "it may do anything"),
        ("SELEC 1", "PostgreSQL's grammar does not read it"),
        ("SELECT 1; DELETE FROM items", "one of its statements is no read"),
        ("/* dbproxy: primary */ SELECT 1", "its hint says so"),
    ],
)
def test_what_is_the_primarys_is_told_with_the_reason(text: str, why: str) -> None:
    (line,) = explain_text(text.encode())
    assert line.startswith(f"It goes to the primary: {why}")


def test_what_the_catalog_would_be_asked_for_is_named() -> None:
    lines = explain_text(b"SELECT own(upper(name)) FROM items JOIN parts USING (id)")
    assert lines[0] == "A replica may answer it: it is a read."
    assert "own must be known" in lines[1]
    assert "items, parts must be tables" in lines[2]
    assert "upper must not be volatile" in lines[3] or "upper" in lines[3]


def test_a_text_that_is_too_long_is_not_parsed() -> None:
    (line,) = explain_text(b"SELECT '" + b"x" * 20000 + b"'")
    assert "too long" in line


def test_a_read_goes_to_the_replicas_that_can_answer() -> None:
    verdict, _, *hosts = explain_route(router(), ITEMS)
    assert verdict == "It goes to replica1 or replica2: it is a read."
    assert hosts == [
        "primary (up, at 0/3000060): it is the primary.",
        "replica1 (up, at 0/3000060, 0 bytes behind): can answer.",
        "replica2 (up, at 0/3000060, 0 bytes behind): can answer.",
    ]


def test_a_host_that_cannot_answer_says_why() -> None:
    own = router()
    own.cluster.disable("replica1", 101.0)
    two = own.cluster.member("replica2")
    for _ in range(3):
        own.cluster.failed(two, "connection refused", 101.0)
    verdict, *_, one, down = explain_route(own, ITEMS)
    assert verdict == "It goes to the primary: no replica can answer."
    assert "an operator has disabled it" in one
    assert "it is down: connection refused" in down


def test_a_global_read_needs_what_anybody_has_committed() -> None:
    own = router(consistency="global")
    own.commits.newest = 0x4000000
    verdict, *_ = explain_route(own, ITEMS)
    assert verdict == "It goes to the primary: no replica can answer."


def test_the_catalogs_words_are_told_in_full() -> None:
    own = router()
    assert own.catalog is not None
    own.catalog.called["sneaky"] = Definition("sneaky", "function", "is volatile")
    verdict, *_ = explain_route(own, b"SELECT sneaky()")
    assert verdict == 'It goes to the primary: function "sneaky" is volatile.'


def test_positions_of_routing_are_told() -> None:
    assert (
        "routing is only observed. Else it would go to replica1"
        in explain_route(router(mode="observe"), ITEMS)[0]
    )
    assert explain_route(router(mode="off"), ITEMS)[0] == 'It goes to the primary: routing.mode is "off".'
    assert explain_route(router(percent="0"), ITEMS)[0] == "It goes to the primary: routing.percent is 0."
    assert "in 20 % of the sessions" in explain_route(router(percent="20"), ITEMS)[0]


def test_read_only_entry_is_told_as_all_of_its_sessions_are_routed() -> None:
    own = router(percent="5", primary_reads_weight="1")
    assert "primary or replica1 or replica2" in explain_route(own, ITEMS)[0]
    assert explain_route(own, ITEMS, read_only=True)[0] == "It goes to replica1 or replica2: it is a read."
    assert explain_route(own, b"BEGIN")[0].startswith("It goes to the primary")
    assert explain_route(own, b"BEGIN", read_only=True)[0].startswith("It goes to replica1 or replica2")


def test_hint_that_names_a_replica_leaves_only_that_one() -> None:
    verdict, hint, *_ = explain_route(router(), b"/* dbproxy: replica(replica2) */ SELECT own()")
    assert verdict == "It goes to replica2: it is a read."
    assert hint == "Its hint asks for replica(replica2): the catalog is not asked."


def test_a_statement_that_replicas_failed_too_often_is_the_primarys() -> None:
    own = router()
    shape = own.primary.tenant.classifier.find(ITEMS)
    for _ in range(RESCUED_LIMIT):
        own.note_rescue(own.cluster.members[1], "read only", shape)
    assert "replicas have failed too often" in explain_route(own, ITEMS)[0]


def test_nothing_is_counted() -> None:
    own = router()
    explain_route(own, ITEMS)
    assert not own.decisions
    assert not sum(member.load.reads for member in own.cluster.members)


def test_what_a_rule_says_is_told() -> None:
    own = router()
    rule = RuleSettings(relation="items", route="replica(replica2)")
    own.apply(own.settings.model_copy(update={"rules": (rule,)}))
    told = explain_route(own, ITEMS)
    assert told[0].startswith("It goes to replica2:")
    assert "a rule's or the plugin's" in told[1]


@pytest.mark.parametrize(
    "text", [text for _, text in (*lines(READ_TEXTS), *lines(OTHERS))], ids=lambda text: text[:60]
)
def test_what_is_told_is_what_is_done(text: str) -> None:
    found = router(slow_start="0s")
    shape = found.primary.tenant.classifier.find(text.encode())
    reader = Reader()
    found.attend(reader, NOTHING)
    goes = found.judge(shape, reader) in (READS, READ_ONLY)
    assert explain_route(found, text.encode())[0].startswith("It goes to replica") is goes
