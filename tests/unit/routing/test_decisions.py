"""What is counted of routing: bounded words, nothing where routing is off, no pick that answers nothing."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from dbproxy.cluster.catalog import Catalog, Definition
from dbproxy.config import RuleSettings
from dbproxy.features.mode import UNDECIDED
from dbproxy.pool.parameters import Parameters
from dbproxy.routing.router import (
    NO_REPLICA,
    OFF,
    PERCENT,
    READS,
    RESCUED_LIMIT,
    SHARE,
    STALE,
    TOO_OFTEN,
    Router,
)
from dbproxy.sql.statement import Statement
from tests.unit.routing.test_explain import router, settings


@dataclass
class Client:
    settings: Parameters = field(default_factory=lambda: Parameters({}))
    position: int = 0
    epoch: int = 0
    wrote_at: float = 0.0
    avoided: Any = None
    wanted_host: str = ""
    arrived: float = 100.0
    read_only: bool = False


def ask(own: Router, text: bytes, client: Client | None = None) -> Any:
    client = client or Client()
    mode = own.feature.stand(1, UNDECIDED, in_transaction=False, always=client.read_only).mode
    return own.choose(own.judge(own.primary.tenant.classifier.find(text), client), client, mode)


def test_routing_that_is_off_counts_nothing() -> None:
    own = router(mode="off")
    assert own.judge(own.primary.tenant.classifier.find(b"SELECT 1"), Client()) is OFF
    assert ask(own, b"SELECT 1") is None
    assert not own.decisions


def test_observe_sends_nothing_and_counts_where_it_would_have_gone() -> None:
    own = router(mode="observe")
    for _ in range(20):
        assert ask(own, b"SELECT 1") is None
    assert {host for host, _ in own.decisions} <= {"observed: replica1", "observed: replica2"}
    assert own.decisions.total() == 20
    assert not any(member.active for member in own.cluster.members)


def test_names_of_functions_are_not_counted_one_by_one() -> None:
    own = router()
    assert own.catalog is not None
    for name in ("a", "b", "is volatile"):
        own.catalog.called[name] = Definition(name, "function", "is volatile")
        ask(own, f'SELECT "{name}"()'.encode())
    assert own.decisions == Counter({("primary", "function is volatile"): 3})


def test_a_read_that_no_replica_is_fresh_enough_for_is_nobodys_pick() -> None:
    own = router()
    assert ask(own, b"SELECT 1", Client(position=0x9000000)) is None
    assert own.decisions == Counter({("primary", STALE): 1})
    assert not sum(member.reads for member in own.cluster.members)


def test_why_the_primary_answers_is_told_apart() -> None:
    own = router(primary_reads_weight="1000000")
    ask(own, b"SELECT 1")
    assert own.decisions == Counter({("primary", SHARE): 1})
    own.cluster.disable("replica1", 101.0)
    own.cluster.disable("replica2", 101.0)
    ask(own, b"SELECT 1")
    assert own.decisions["primary", NO_REPLICA] == 1


def test_other_settings_hold_at_once_for_sessions_that_are_known() -> None:
    own = router()
    client = Client()
    assert own.wishes_of(client.settings).consistency == "session"
    own.apply(settings(consistency="eventual").routing)
    assert own.wishes_of(client.settings).consistency == "eventual"


def test_a_statement_that_was_rescued_too_often_takes_no_other_with_it() -> None:
    own = router()
    text = b"SELECT 7 AS lie"
    statement = own.primary.tenant.classifier.find(text)
    for _ in range(RESCUED_LIMIT):
        own.note_rescue(own.cluster.members[1], "read only", statement)
    assert own.rescued_too_often() == [(statement, RESCUED_LIMIT)]
    assert statement.text == "SELECT $? AS lie"
    assert own.judge(own.primary.tenant.classifier.find(b"SELECT  8 AS lie"), Client()) is TOO_OFTEN
    assert own.judge(own.primary.tenant.classifier.find(b"SELECT 1"), Client()) is READS


def test_a_session_of_the_control_arm_reads_from_the_primary_and_counts_so() -> None:
    own = router(percent="0")
    assert ask(own, b"SELECT 1") is None
    assert own.decisions == Counter({("primary", PERCENT): 1})
    assert not sum(member.reads for member in own.cluster.members)


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
    own.cluster.primary.share = 1000.0  # type: ignore[union-attr]  # there is one
    for _ in range(50):
        assert ask(own, b"SELECT 1", Client(read_only=True)).role == "replica"


def test_a_token_keeps_replicas_out_that_have_not_replayed_it() -> None:
    own = router(consistency="eventual")
    reached, ahead = (Client(Parameters({"dbproxy.causal_token": lsn})) for lsn in ("0/3000060", "0/3000061"))
    assert ask(own, b"SELECT 1", reached) is not None
    assert ask(own, b"SELECT 1", ahead) is None
    assert own.decisions["primary", STALE] == 1


def test_a_token_is_for_the_primary_where_no_positions_are_told() -> None:
    own = router()
    own.cluster._positions.known = False  # as on Aurora
    assert ask(own, b"SELECT 1", Client(Parameters({"dbproxy.causal_token": "0/1"}))) is None


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
        ask(own, b"SELECT * FROM items", Client(settings=Parameters(wished)))
    assert catalog.asked == 1
