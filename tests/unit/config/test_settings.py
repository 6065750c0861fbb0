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


def test_limits_that_all_pools_share_are_a_databases_or_a_users():
    mixed = settings(
        pool={"max_db_connections": 10, "max_user_client_connections": 5},
        databases={"shop": {"pool": {"max_db_connections": 0}}, "plain": {}},
        users={"app": {"pool": {"max_user_client_connections": 7}}},
    )
    assert [mixed.connection_limit("max_db_connections", name) for name in ("shop", "plain", "x")] == [
        0,
        10,
        10,
    ]
    assert [mixed.connection_limit("max_user_client_connections", name) for name in ("app", "x")] == [7, 5]
    assert mixed.connection_limit("max_user_connections", "app") == 0


@pytest.mark.parametrize(
    ("section", "key"),
    [("databases", "max_user_connections"), ("users", "max_db_client_connections")],
)
def test_limit_of_users_is_none_of_a_databases_nor_the_other_way_round(section: str, key: str):
    with pytest.raises(ValueError, match="Extra inputs"):
        settings(**{section: {"x": {"pool": {key: 1}}}})


def test_memory_of_a_client_that_a_message_of_it_may_exceed_is_worth_a_warning():
    assert not [text for text in settings().warnings() if "max_client_memory" in text]
    small = settings(users={"app": {"pool": {"max_client_memory": "1MiB"}}})
    assert [text for text in small.warnings() if "max_client_memory" in text]


# --- several hosts, and the console ---------------------------------------------------------------------------


def test_each_host_of_a_url_is_a_host_of_the_cluster():
    several = settings(
        primary={"url": "postgresql://app:pw@a,b/db"},
        replicas=[{"name": "reports", "url": "postgresql://app:pw@c,d:7/db"}],
    )
    assert [host.address for host in several.candidates()] == ["a:5432", "b:5432"]
    assert several.replicas[0].names() == ("reports", "reports-2")
    assert {key: host.address for key, host in several.hosts().items()} == {
        "primary.url": "a:5432", "primary.url, host 2": "b:5432",
        "replicas.reports.url": "c:5432", "replicas.reports.url, host 2": "d:7",
    }  # fmt: skip
    assert several.is_watched()
    assert not settings().is_watched()


def test_hosts_of_which_none_is_to_take_writes_are_one_to_the_cluster():
    standbys = settings(primary={"url": "postgresql://app:pw@a,b/db?target_session_attrs=prefer-standby"})
    assert [len(host.each()) for host in standbys.candidates()] == [2]
    assert not standbys.is_watched()
    beside = settings(
        primary={"url": "postgresql://app:pw@a,b/db?target_session_attrs=standby"},
        replicas=[{"url": "postgresql://app:pw@c/db"}],
    )
    assert len(beside.candidates()) == 2
    assert any("target_session_attrs=standby does not count" in said for said in beside.warnings())


def test_a_replica_that_is_to_take_writes_is_a_mistake():
    with pytest.raises(ValueError, match="a replica takes no writes"):
        settings(replicas=[{"url": "postgresql://app:pw@c/db?target_session_attrs=read-write"}])


def test_two_hosts_have_no_name_in_common():
    url = "postgresql://app:pw@c,d/db"
    with pytest.raises(ValueError, match="twice"):
        settings(replicas=[{"name": "r", "url": url}, {"name": "r-2", "url": "postgresql://app:pw@e/db"}])


def test_user_of_the_url_may_use_the_console_from_here_as_long_as_nobody_is_named():
    plain = settings(primary={"url": "postgresql://app:pw@h/db"})
    assert plain.may_administer("app", local=True)
    assert plain.may_watch("app", local=True)
    assert not plain.may_administer("app", local=False)
    assert not plain.may_watch("other", local=True)
    assert plain.may_administer("dbproxy", local=False)
    named = settings(primary={"url": "postgresql://app:pw@h/db"}, auth={"admin_users": ["boss"]})
    assert named.may_administer("boss", local=False)
    assert not named.may_watch("app", local=True)
    assert not settings(primary={"url": "postgresql://h/db"}).may_administer("", local=True)
