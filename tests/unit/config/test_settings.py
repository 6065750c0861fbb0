import pytest

from dbproxy.config.settings import Settings
from dbproxy.errors import ConfigurationError

URL = "postgresql://app:secret@primary:5432/app"


def settings(**values: object) -> Settings:
    return Settings.model_validate({"primary": {"url": URL}} | values)


def test_defaults_are_those_of_the_design():
    plain = Settings()
    assert (plain.listen.host, plain.listen.port, plain.listen.unix_socket_mode) == (
        ("127.0.0.1",),
        6432,
        0o777,
    )
    assert plain.listen.max_message_size == 16 * 1024 * 1024
    assert (plain.pool.mode, plain.pool.size, plain.pool.reserve_size) == ("transaction", 50, 5)
    assert (plain.pool.query_wait_timeout, plain.slow_query.threshold) == (120.0, pytest.approx(0.1))
    assert (plain.auth.type, plain.auth.file, plain.auth.admin_users) == ("scram-sha-256", None, ("dbproxy",))
    assert plain.primary.url is None


def test_a_user_weighs_more_than_a_database_and_both_more_than_all():
    mixed = settings(
        pool={"size": 10, "reserve_size": 1},
        databases={"reports": {"pool": {"size": 20, "mode": "session"}}},
        users={"batch": {"pool": {"size": 30}}},
    )
    pool = mixed.pool_for("reports", "batch")
    assert (pool.size, pool.mode, pool.reserve_size) == (30, "session", 1)
    assert mixed.pool_for("reports", "other").size == 20
    assert mixed.pool_for("other", "other") == mixed.pool


def test_routing_may_differ_by_database_and_user():
    mixed = settings(
        routing={"percent": 10},
        databases={"reports": {"routing": {"consistency": "eventual", "mode": "off"}}},
        users={"batch": {"routing": {"mode": "observe"}}},
    )
    found = mixed.routing_for("reports", "batch")
    assert (found.mode, found.consistency, found.percent) == ("observe", "eventual", 10)
    assert mixed.routing_for("reports", "other").mode == "off"
    assert mixed.routing_for("other", "other") == mixed.routing


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"route": "primary"}, "needs a relation or a function"),
        ({"relation": "orders"}, "primary, replica or"),
        ({"relation": "orders", "route": "standby"}, "primary, replica or"),
    ],
)
def test_a_rule_says_when_and_where(rule: dict[str, str], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        settings(routing={"rules": [rule]})


def test_a_database_may_say_the_default_again():
    assert settings(pool={"size": 10}, databases={"a": {"pool": {"size": 50}}}).pool_for("a", "u").size == 50


def test_a_database_that_is_not_listed_is_passed_through_by_its_own_name():
    host = settings().server_for("orders")
    assert (host.address, host.user, host.dbname) == ("primary:5432", "app", "orders")


def test_a_listed_database_may_have_another_name_and_another_server():
    listed = settings(
        databases={
            "a": {"dbname": "real_a"},
            "b": {"primary": {"url": "postgresql://u:p@other/real_b"}},
            "c": {"primary": {"url": "postgresql://u:p@other"}},
        }
    )
    assert str(listed.server_for("a")) == "postgresql://app:***@primary:5432/real_a"
    assert str(listed.server_for("b")) == "postgresql://u:***@other:5432/real_b"
    assert listed.server_for("c").dbname == "c"


def test_without_a_primary_both_ways_to_set_it_are_told():
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL=.*\[primary\]"):
        Settings().server_for("any")


def test_settings_show_no_password():
    full = settings(replicas=[{"url": URL}], databases={"a": {"primary": {"url": URL}}})
    assert "secret" not in f"{full!r} {full} {full.model_dump()} {full.hosts()} {full.warnings()}"


def test_replicas_without_a_name_are_numbered():
    assert [r.name for r in settings(replicas=f"{URL}, {URL}").replicas] == ["replica1", "replica2"]
    assert [r.name for r in settings(replicas=[{"url": URL}, {"url": URL, "name": "far"}]).replicas] == [
        "replica1",
        "far",
    ]


def test_plain_settings_warn_of_nothing():
    assert settings().warnings() == []


@pytest.mark.parametrize("name", ["twin", "primary"])
def test_no_two_hosts_have_one_name(name: str):
    with pytest.raises(ValueError, match=f'the name "{name}" twice'):
        settings(replicas=[{"url": URL, "name": "twin"}, {"url": URL, "name": name}])


def test_replicas_that_are_not_used_are_warned_of():
    assert settings(replicas=URL).warnings() == []
    assert settings(replicas=URL, routing={"mode": "off"}).warnings() == [
        'replicas are configured, but routing.mode is "off": everything goes to the primary'
    ]
    for pool in ({"mode": "session"}, {"max_prepared_statements": 0}):
        assert "no pool has transaction mode" in settings(replicas=URL, pool=pool).warnings()[0]
        routed = {"pool": {"mode": "transaction", "max_prepared_statements": 9}}
        assert settings(replicas=URL, pool=pool, users={"web": routed}).warnings() == []


def test_rule_that_names_no_replica_is_warned_of():
    rules = [{"relation": "a", "route": route} for route in ("primary", "replica(near)", "replica(far)")]
    found = settings(replicas=[{"url": URL, "name": "near"}], routing={"rules": rules}).warnings()
    assert found == [
        "a rule of routing.rules says replica(far), and no replica has this name: the primary answers instead"
    ]


def test_unused_parameters_of_a_url_are_warned_of():
    found = settings(primary={"url": f"{URL}?schema=public&pool_timeout=3"}).warnings()
    assert found == ["primary.url has parameters that dbproxy does not use: schema, pool_timeout"]


def test_nobody_able_to_log_in_is_warned_of():
    assert "nobody can log in" in settings(primary={"url": "postgresql://app@h/d"}).warnings()[0]
    assert settings(primary={"url": "postgresql://app@h/d"}, auth={"type": "trust"}).warnings() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "proxy.internal", ""])
def test_http_beyond_this_machine_needs_a_token(host: str):
    with pytest.raises(ValueError, match=r"needs a token: set http\.token \(DBPROXY_HTTP__TOKEN\)"):
        settings(http={"host": host})
    assert settings(http={"host": host, "token": "x" * 32}).http.host == host
    assert settings(http={"host": host, "port": 0}).http.port == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_http_for_this_machine_needs_none(host: str):
    assert settings(http={"host": host}).http.token.get_secret_value() == ""


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "größe", "\x7f"])
def test_a_token_is_what_a_header_can_carry(token: str):
    with pytest.raises(ValueError, match="must be ASCII without blanks"):
        settings(http={"token": token})
