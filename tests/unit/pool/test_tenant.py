"""What is true of a database and user, whichever host their pools lead to."""

import pytest

from dbproxy.config import PoolSettings
from dbproxy.pool.commits import Commits
from dbproxy.pool.tenant import Tenant
from dbproxy.sql.cache import StatementCache


def make_tenant(**settings: object) -> Tenant:
    return Tenant("shop", "app", PoolSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("settings", "known"),
    [({}, False), ({"read_functions": False}, True), ({"mode": "session"}, True)],
)
def test_functions_are_to_be_read_where_what_they_do_matters(settings: dict[str, object], known: bool):
    assert make_tenant(**settings).knows_routines() is known


def test_functions_that_were_read_are_known_though_there_are_none():
    tenant = make_tenant()
    tenant.routines.read_at = 1.0
    assert tenant.knows_routines()


def test_sequences_are_recalled_only_where_servers_change():
    assert make_tenant().recall.asks
    assert not make_tenant(mode="session").recall.able


def test_ddl_parts_statements_from_those_prepared_before_it():
    tenant = make_tenant()
    before = tenant.statements.find(b"SELECT 1\0\0\0")
    assert tenant.statements.find(b"SELECT 1\0\0\0") is before
    tenant.forget_statements()
    assert tenant.statements.find(b"SELECT 1\0\0\0") is not before


def test_what_is_shared_with_other_tenants_is_the_same_object():
    commits, classifier, forgot = Commits(), StatementCache(1), list[str]()
    one, two = (
        Tenant(
            "shop",
            user,
            PoolSettings(),
            commits=commits,
            classifier=classifier,
            forget_statements=lambda: forgot.append("shop"),
        )
        for user in ("app", "batch")
    )
    assert one.commits is two.commits is commits
    assert one.classifier is two.classifier is classifier
    one.forget_statements()
    assert forgot == ["shop"]
