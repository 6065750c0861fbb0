from dataclasses import replace
from pathlib import Path

import pytest

from dbproxy.auth.addresses import parse_address
from dbproxy.auth.hba import (
    METHODS,
    NOT_SERVED,
    Caller,
    Rule,
    Wanted,
    find_rule,
    needs_roles,
    parse_rules,
    refuse,
)
from dbproxy.auth.lines import Source
from dbproxy.errors import ConfigurationError

APP = Caller("app", "shop", "10.1.2.3")
HERE = Caller("app", "shop")


def parse(*lines: str) -> tuple[Rule, ...]:
    return parse_rules(Source("pg_hba.conf", Path(), "\n".join(lines)))


def decide(caller: Caller, *lines: str) -> str | None:
    """The place of the line that decides."""
    found = find_rule(parse(*lines), caller)
    assert not isinstance(found, Wanted)
    return found.where if found is not None else None


def lets_in(caller: Caller, line: str) -> bool:
    return decide(caller, line) is not None


def test_first_line_that_is_for_the_client_decides() -> None:
    lines = ("host all bob all trust", "host all app 10.0.0.0/8 reject", "host all all all trust")
    assert decide(APP, *lines) == "pg_hba.conf:2"
    assert decide(replace(APP, address="11.0.0.1"), *lines) == "pg_hba.conf:3"
    assert decide(HERE, *lines) is None


@pytest.mark.parametrize(
    ("kind", "unix", "plain", "tls"),
    [
        ("local", True, False, False),
        ("host", False, True, True),
        ("hostssl", False, False, True),
        ("hostnossl", False, True, False),
        ("hostgssenc", False, False, False),
        ("hostnogssenc", False, True, True),
    ],
)
def test_kinds_of_connections(kind: str, unix: bool, plain: bool, tls: bool) -> None:
    line = f"{kind} all all {'' if kind == 'local' else 'all'} trust"
    assert [lets_in(caller, line) for caller in (HERE, APP, replace(APP, encrypted=True))] == [
        unix,
        plain,
        tls,
    ]


@pytest.mark.parametrize(
    ("databases", "fits"),
    [
        ("all", True),
        ("shop", True),
        ("a,shop", True),
        ("a", False),
        ('"shop"', True),
        ('"all"', False),
        ("/^sh", True),
        ('"/^s[a-z,]+$"', True),
        ("/^h", False),
        ("sameuser", False),
        ("replication", False),
        ('"sameuser"', False),
    ],
)
def test_databases(databases: str, fits: bool) -> None:
    assert lets_in(APP, f"host {databases} all all trust") is fits


def test_sameuser_and_names_that_are_keywords() -> None:
    assert lets_in(Caller("app", "app", "10.1.1.1"), "host sameuser all all trust")
    assert lets_in(Caller("app", "all", "10.1.1.1"), 'host "all" all all trust')
    assert lets_in(Caller("all", "x", "10.1.1.1"), 'host all "all" all trust')


def test_physical_replication_needs_its_keyword_and_logical_its_database() -> None:
    physical = replace(APP, database="", replication=True)
    assert not lets_in(physical, "host all all all trust")
    assert lets_in(physical, "host replication all all trust")
    assert not lets_in(physical, 'host "replication" all all trust')
    assert lets_in(APP, "host shop all all trust")


@pytest.mark.parametrize(
    ("users", "fits"),
    [
        ("all", True),
        ("app", True),
        ("App", False),
        ("b,app", True),
        ('"+app"', False),
        ("/^a", True),
        ("/b", False),
    ],
)
def test_users(users: str, fits: bool) -> None:
    assert lets_in(APP, f"host all {users} all trust") is fits


@pytest.mark.parametrize(
    "line", ["host all +staff all trust", "host samerole all all trust", "host samegroup all all trust"]
)
def test_roles_are_asked_for_when_a_line_comes_to_them(line: str) -> None:
    rules = parse("host all bob all trust", line)
    assert find_rule(rules, APP) is Wanted.ROLES
    assert [needs_roles(rule) for rule in rules[:2]] == [False, True]
    assert find_rule(rules, replace(APP, roles=frozenset({"app"}))) is None
    assert find_rule(rules, replace(APP, roles=frozenset({"staff", "shop"}))) == rules[1]
    assert find_rule(rules, replace(APP, user="bob")) == rules[0]


def test_host_name_is_asked_for_when_a_line_comes_to_it() -> None:
    rules = parse("host all bob web.example trust", "host all app .example trust")
    assert find_rule(rules, replace(APP, user="carol")) is Wanted.HOST_NAME
    assert find_rule(rules, replace(APP, host_name="")) is None
    assert find_rule(rules, replace(APP, host_name="any.example")) == rules[1]


def test_this_machines_addresses_are_asked_for_when_a_line_comes_to_them() -> None:
    rules = parse("host all bob all trust", "host all all samehost trust", "host all all samenet reject")
    assert find_rule(rules, replace(APP, user="bob")) == rules[0]
    assert find_rule(rules, APP) is Wanted.OWN
    assert find_rule(rules, replace(APP, own=((parse_address("10.1.2.3"), 24),))) == rules[1]
    assert find_rule(rules, replace(APP, own=((parse_address("10.1.2.9"), 24),))) == rules[2]
    assert find_rule(rules, replace(APP, own=())) is None


def test_options() -> None:
    (rule,) = parse("hostssl all all all cert map=people clientname=DN")
    assert (rule.method, rule.map, rule.names, rule.certificate) == ("cert", "people", "DN", "")
    (rule,) = parse('hostssl all all all scram-sha-256 clientcert=verify-full "clientname=CN"')
    assert (rule.method, rule.certificate, rule.names) == ("scram-sha-256", "verify-full", "CN")
    (rule,) = parse("local all all ident map=x")
    assert (rule.method, rule.map) == ("peer", "x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hots all all all trust", 'invalid connection type "hots"'),
        ("host,local all all all trust", "multiple values specified for connection type"),
        ("host", "end-of-line before database specification"),
        ("host all", "end-of-line before role specification"),
        ("host all all", "end-of-line before IP address specification"),
        ("host all all 10.0.0.0/8", "end-of-line before authentication method"),
        ("host all all 10.0.0.0", "end-of-line before netmask specification"),
        ("host all all 10.0.0.0/8,11.0.0.0/8 trust", "multiple values specified for host address"),
        ("host all all all trust,reject", "multiple values specified for authentication type"),
        ("host all all all nope", 'invalid authentication method "nope"'),
        ("host all all all peer", "only supported on local sockets"),
        ("host all all all cert", "only supported on hostssl connections"),
        ("host all @x\0 all trust", "could not open file"),
        ("include x\0", "could not open file"),
        ("host all /( all trust", "invalid regular expression"),
        ("host /( all all trust", "invalid regular expression"),
        ("host all all all trust map", "not in name=value format"),
        ("host all all all trust map=x", 'option "map" is only valid'),
        ("host all all all md5 clientcert=verify-ca", 'only be configured for "hostssl"'),
        ("hostssl all all all md5 clientcert=1", "invalid value for clientcert"),
        ("hostssl all all all cert clientcert=verify-ca", 'only accepts "verify-full"'),
        ("hostssl all all all cert clientname=X", "invalid value for clientname"),
        ("host all all all trust ldapserver=x", 'unrecognized authentication option name: "ldapserver"'),
    ],
)
def test_mistakes_are_told_with_their_line_in_postgresqls_words(line: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("local all all trust", line)
    assert caught.value.message.startswith("pg_hba.conf:2: ")
    assert message in caught.value.message


@pytest.mark.parametrize("method", NOT_SERVED)
def test_methods_that_are_not_served_are_refused_by_name(method: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f'^pg_hba.conf:1: authentication method "{method}" is not served'
    ):
        parse(f"hostssl all all all {method}")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)^pg_hba.conf:1: .*\npg_hba.conf:3: "):
        parse("host", "local all all trust", "host all all all gss")


def test_every_method_that_is_served_is_read() -> None:
    for method in METHODS:
        assert parse(f"local all all {method}" if method == "peer" else f"hostssl all all all {method}")


@pytest.mark.parametrize(
    ("caller", "rejects", "has_none"),
    [
        (APP, "pg_hba.conf rejects connection for", "no pg_hba.conf entry for"),
        (
            replace(APP, replication=True),
            "pg_hba.conf rejects replication connection for",
            "no pg_hba.conf entry for replication connection from",
        ),
    ],
)
def test_refusal_has_postgresqls_words(caller: Caller, rejects: str, has_none: str) -> None:
    who = (
        ' host "10.1.2.3", user "app", '
        + ("" if caller.replication else 'database "shop", ')
        + "no encryption"
    )
    (rule,) = parse("host all all all reject")
    assert refuse(rule, caller).message == rejects + who
    assert refuse(None, caller).message == has_none + who
    assert refuse(None, caller).sqlstate == "28000"


def test_refusal_of_a_unix_socket_and_of_an_encrypted_line() -> None:
    assert 'host "[local]"' in refuse(None, HERE).message
    assert refuse(None, replace(APP, encrypted=True)).message.endswith(", SSL encryption")
