"""What is counted of routing: bounded words, nothing where routing is off, no pick that answers nothing."""

from collections import Counter

import pytest

from dbproxy.cluster.catalog import Catalog, Definition
from dbproxy.cluster.member import Member
from dbproxy.config import RuleSettings
from dbproxy.features.mode import UNDECIDED
from dbproxy.pool.parameters import NOTHING, Parameters
from dbproxy.routing.reader import Reader
from dbproxy.routing.rescues import RESCUED_LIMIT
from dbproxy.routing.router import (
    NO_REPLICA,
    PERCENT,
    READS,
    SHARE,
    STALE,
    TOO_OFTEN,
    Router,
)
from dbproxy.sql.statement import Statement
from tests.unit.routing.test_explain import router, settings
from tests.unit.session.fakes import make_router


def judge(own: Router, text: bytes, reader: Reader | None = None, settings: Parameters = NOTHING) -> str:
    reader = reader or Reader()
    own.attend(reader, settings)
    return own.judge(own.primary.tenant.classifier.find(text), reader)


def ask(
    own: Router, text: bytes, reader: Reader | None = None, settings: Parameters = NOTHING
) -> Member | None:
    """The replica that answers."""
    reader = reader or Reader()
    mode = own.feature.stand(1, UNDECIDED, in_transaction=False, always=reader.read_only).mode
    found = own.choose(judge(own, text, reader, settings), reader, mode, 100.0)
    return found.host if found is not None else None


def writer(position: int) -> Reader:
    reader = Reader()
    reader.position = position
    return reader


def test_routing_that_is_off_counts_nothing() -> None:
    own = router(mode="off")
    assert ask(own, b"SELECT 1") is None
    assert not own.decisions


def test_observe_sends_nothing_and_counts_where_it_would_have_gone() -> None:
    own = router(mode="observe")
    for _ in range(20):
        assert ask(own, b"SELECT 1") is None
    assert {host for host, _ in own.decisions} <= {"observed: replica1", "observed: replica2"}
    assert own.decisions.total() == 20
    assert not any(member.load.active for member in own.cluster.members)


def test_names_of_functions_are_not_counted_one_by_one() -> None:
    own = router()
    assert own.catalog is not None
    for name in ("a", "b", "is volatile"):
        own.catalog.called[name] = Definition(name, "function", "is volatile")
        ask(own, f'SELECT "{name}"()'.encode())
    assert own.decisions == Counter({("primary", "function is volatile"): 3})


def test_a_read_that_no_replica_is_fresh_enough_for_is_nobodys_pick() -> None:
    own = router()
    assert ask(own, b"SELECT 1", writer(position=0x9000000)) is None
    assert own.decisions == Counter({("primary", STALE): 1})
    assert not sum(member.load.reads for member in own.cluster.members)


def test_commits_of_a_time_without_positions_are_not_taken_for_known() -> None:
    own = router()
    reader = writer(position=0x1000)
    assert ask(own, b"SELECT 1", reader) is not None
    own.commits.sample(0x3000060, 90.0)
    own.commits.asks = False  # the primary tells no positions, and then it does
    reader.wrote_at = 99.0
    assert ask(own, b"SELECT 1", reader) is None
    assert own.commits.asks


def test_why_the_primary_answers_is_told_apart() -> None:
    own = router(primary_reads_weight="1000000")
    ask(own, b"SELECT 1")
    assert own.decisions == Counter({("primary", SHARE): 1})
    own.cluster.disable("replica1", 101.0)
    own.cluster.disable("replica2", 101.0)
    ask(own, b"SELECT 1")
    assert own.decisions["primary", NO_REPLICA] == 1


def test_replica_that_cannot_be_connected_to_does_not_bring_back_the_one_that_is_avoided() -> None:
    own = make_router(primary_reads_weight="1000000")
    _, one, two = own.cluster.members
    own.pool_of(one).retry_at = 200.0
    reader = Reader(read_only=True)
    assert {ask(own, b"SELECT 1", reader) for _ in range(50)} == {
        two
    }  # never the primary, whatever its weight
    reader = Reader()
    reader.avoided = two
    own.apply(settings().routing)
    own.cluster.apply(settings(), 100.0)
    assert {ask(own, b"SELECT 1", reader) for _ in range(50)} == {None}


def test_other_settings_hold_at_once_for_sessions_that_are_known() -> None:
    own = router()
    reader = Reader()
    judge(own, b"SELECT 1", reader)
    assert reader.wishes.consistency == "session"
    own.apply(settings(consistency="eventual").routing)
    judge(own, b"SELECT 1", reader)
    assert reader.wishes.consistency == "eventual"


def test_a_statement_that_was_rescued_too_often_takes_no_other_with_it() -> None:
    own = router()
    text = b"SELECT 7 AS lie"
    statement = own.primary.tenant.classifier.find(text)
    for _ in range(RESCUED_LIMIT):
        own.note_rescue(own.cluster.members[1], "read only", statement)
    assert own.rescues.list_hopeless() == [(statement, RESCUED_LIMIT)]
    assert statement.text == "SELECT $? AS lie"
    assert judge(own, b"SELECT  8 AS lie") is TOO_OFTEN
    assert judge(own, b"SELECT 1") is READS


def test_a_session_of_the_control_arm_reads_from_the_primary_and_counts_so() -> None:
    own = router(percent="0")
    assert ask(own, b"SELECT 1") is None
    assert own.decisions == Counter({("primary", PERCENT): 1})
    assert not sum(member.load.reads for member in own.cluster.members)


def test_requests_are_heard_of_only_while_there_are_sessions_in_both_arms() -> None:
    own = router()
    tenant = own.primary.tenant
    heard = []
    for mode, percent in (("on", 100), ("on", 20), ("observe", 20), ("off", 20), ("on", 0)):
        own.apply(settings(mode=mode, percent=str(percent)).routing)
        heard.append(len(tenant.listeners))
    assert heard == [0, 1, 1, 0, 0]


def test_switch_leaves_what_was_counted() -> None:
    own = router(percent="20")
    own.feature.treated.count(250, failed=False)
    own.apply(settings(percent="30").routing)
    assert (own.feature.percent, own.feature.treated.requests) == (30, 1)
    assert own.primary.tenant.features == [own.feature]


def test_a_client_of_a_read_only_entry_gets_a_replica_whatever_the_primarys_share() -> None:
    own = router(percent="1")
    own.cluster.primary.load.share = 1000.0  # type: ignore[union-attr]  # there is one
    for _ in range(50):
        assert ask(own, b"SELECT 1", Reader(read_only=True)).role == "replica"  # type: ignore[union-attr]  # there is one


def test_a_token_keeps_replicas_out_that_have_not_replayed_it() -> None:
    own = router(consistency="eventual")
    reached, ahead = (Parameters({"dbproxy.causal_token": lsn}) for lsn in ("0/3000060", "0/3000061"))
    assert ask(own, b"SELECT 1", settings=reached) is not None
    assert ask(own, b"SELECT 1", settings=ahead) is None
    assert own.decisions["primary", STALE] == 1


def test_a_token_is_for_the_primary_where_no_positions_are_told() -> None:
    own = router()
    own.cluster.readers.positions = False  # as on Aurora
    assert ask(own, b"SELECT 1", settings=Parameters({"dbproxy.causal_token": "0/1"})) is None


def test_a_rule_counts_like_a_hint_and_less_than_one() -> None:
    rule = RuleSettings(relation="items", route="primary")
    own = router()
    own.apply(own.settings.model_copy(update={"rules": (rule,)}))
    own.learn(Catalog())
    assert ask(own, b"SELECT * FROM items") is None
    assert ask(own, b"/* dbproxy: replica */ SELECT * FROM items") is not None
    assert ask(own, b"SELECT * FROM others") is not None


def test_the_primary_is_asked_for_the_token() -> None:
    assert ask(router(), b"SHOW dbproxy.causal_token") is None


def test_users_of_one_database_do_not_have_its_statements_judged_in_turn() -> None:
    own = router()
    other = Router(own.primary, own.cluster, own.settings, lambda _: own.primary)
    catalogs = CountingCatalog(), CountingCatalog()
    for one, catalog in zip((own, other), catalogs, strict=True):
        one.learn(catalog)
    for _ in range(5):
        assert judge(own, b"SELECT * FROM items") == judge(other, b"SELECT * FROM items") == READS
    assert [catalog.asked for catalog in catalogs] == [1, 1]


class CountingCatalog(Catalog):
    asked = 0

    def allows(self, statement: Statement) -> str:
        self.asked += 1
        return Catalog.allows(self, statement)


@pytest.mark.parametrize(
    "wished", [{}, {"default_transaction_isolation": "serializable"}], ids=["plain", "serializable"]
)
@pytest.mark.parametrize(
    "rules", [(), (RuleSettings(relation="other", route="primary"),)], ids=["", "with a rule"]
)
def test_the_catalog_is_asked_once_of_a_statement(
    wished: dict[str, str], rules: tuple[RuleSettings, ...]
) -> None:
    own = router()
    own.apply(own.settings.model_copy(update={"rules": rules}))
    catalog = CountingCatalog()
    own.learn(catalog)
    for _ in range(5):
        ask(own, b"SELECT * FROM items", settings=Parameters(wished))
    assert catalog.asked == 1
