import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config.url import Host, parse_url


def parse(url: str) -> Host:
    host = parse_url(url)
    assert host is not None
    return host


def test_every_part_is_read_and_decoded():
    host = parse("postgresql://my%20app:p%40ss%3Aw%2Frd@db.internal:6543/my%2Fdb?application_name=x")
    assert (host.host, host.port, host.user, host.dbname) == ("db.internal", 6543, "my app", "my/db")
    assert host.password.get_secret_value() == "p@ss:w/rd"
    assert host.ignored == ()


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres://u@h/db", "h", 5432),
        ("postgresql://h:/db", "h", 5432),
        ("postgresql://", "localhost", 5432),
        ("postgresql://[::1]:7000/db", "::1", 7000),
        ("postgresql://[fe80::1%25eth0]/db", "fe80::1%eth0", 5432),
        ("postgresql:///db?host=/run/pg&port=5433", "/run/pg", 5433),
        ("postgresql://u:p@%2FRun%2Fpg/db", "/Run/pg", 5432),
        ("postgresql://u:p@%2Frun%2Fpg:5499/db", "/run/pg", 5499),
    ],
)
def test_hosts_and_ports_as_libpq_writes_them(url: str, host: str, port: int):
    assert (parse(url).host, parse(url).port) == (host, port)


def test_query_parameters_win_over_the_parts_before_them():
    host = parse("postgresql://a:b@h/d?user=alice&password=s%26t&dbname=other&host=h2&port=1")
    assert (host.user, host.password.get_secret_value(), host.dbname) == ("alice", "s&t", "other")
    assert host.address == "h2:1"


def test_address_is_where_to_connect():
    assert parse("postgresql://[::1]/db").address == "[::1]:5432"
    assert parse("postgresql:///db?host=/run/pg").address == "/run/pg/.s.PGSQL.5432"


def test_parameters_of_other_drivers_are_ignored_by_name():
    url = "postgresql://u:p@h/db?schema=public&connection_limit=5&pgbouncer=true&sslmode=prefer&connect_timeout=3"
    assert parse(url).ignored == ("schema", "connection_limit", "pgbouncer")


@pytest.mark.parametrize(
    "query",
    ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "ssl=true", "channel_binding=require"],
)
def test_a_demand_for_encryption_is_refused_and_never_dropped(query: str):
    with pytest.raises(ValueError, match="this version cannot do yet"):
        parse(f"postgresql://h/db?{query}")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql://u:hunter2@h/db", "must be a URL"),
        ("host=h password=hunter2", "must be a URL"),
        ("postgresql://u:hunter2/x@h/db", "percent-encoded"),
        ("postgresql://u:hunter2@h:port/db", "port number"),
        ("postgresql://u:hunter2@h:70000/db", "from 1 to 65535"),
        ("postgresql://u:hunter2@h1,h2/db", "one host"),
        ("postgresql://h/db?host=a,b&password=hunter2", "one host"),
        ("postgresql://u:hunter2%FF@h/db", "UTF-8"),
        ("postgresql://u:hunter2%00@h/db", "%00"),
        ("postgresql://u:hunter2@h/db?sslmode=always", "unknown sslmode"),
        ("postgresql://u:hunter2@a b/db", "host"),
    ],
)
def test_a_mistake_says_what_would_be_right_and_not_the_password(url: str, advice: str):
    with pytest.raises(ValueError, match=advice) as raised:
        parse(url)
    assert "hunter2" not in str(raised.value)


def test_the_password_is_in_no_text_of_a_host():
    host = parse("postgresql://app:hunter2@h/db")
    assert "hunter2" not in f"{host} {host!r} {host.password}"
    assert str(host) == "postgresql://app:***@h:5432/db"


def test_another_password_is_another_host():
    assert parse("postgresql://u:a@h/d") != parse("postgresql://u:b@h/d")
    assert parse("postgresql://u:a@h/d?schema=x") == parse("postgresql://u:a@h/d")


def test_an_empty_url_is_none():
    assert parse_url("") is parse_url(None) is None


# --- passwords that are not percent-encoded -----------------------------------------------------------------


@pytest.mark.parametrize(
    "password", ["p@ss", "p#ss", "p:ss", "p?ss", "p?x=1", "@", "p@s:s@", "12:34", "p[ss]", "#?@:"]
)
def test_raw_password_ahead_of_every_slash_is_taken_as_it_is(password: str):
    host = parse(f"postgresql://app:{password}@h:6000/db")
    assert host.password.get_secret_value() == password
    assert str(host) == "postgresql://app:***@h:6000/db"


@pytest.mark.parametrize(
    "password", ["p/ss", "/", "12/34", "12/34?x=1", "p@ss/w", "p@12/w", "p@ss/?x=1", "1/#", "p@h:1/db?a=b"]
)
def test_raw_password_with_a_slash_is_refused_and_not_taken_for_a_host_or_database(password: str):
    with pytest.raises(ValueError, match="percent-encoded"):
        parse(f"postgresql://app:{password}@h:6000/db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app%3Ahunter2@h/db",
        "postgresql://app%3Ahunter2%40h/db",
        "postgresql://app%3Ahunter2",
        "postgresql://app:hunter2",
        "postgresql://app@h/db&password=hunter2",
        "postgresql://app@h/db;password=hunter2",
        "postgresql://app;password=hunter2@h/db",
        "postgresql://h;password=hunter2/db",
        "postgresql://h/db?password=a@hunter2",
        "postgresql://h/db?hunter2",
        "postgresql://h/db?hunter%202=1",
        "postgresql:///db?host=app:hunter2",
    ],
)
def test_url_with_its_password_in_another_place_is_refused(url: str):
    with pytest.raises(ValueError, match="must") as raised:
        parse(url)
    assert "hunter2" not in str(raised.value)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0%")))
def test_no_part_of_a_raw_password_is_shown(text: str):
    """However it is written: in what is shown of the host there is nothing but what was beside the password."""
    try:
        host = parse(f"postgresql://app:{text}@h:5432/db")
    except ValueError:
        return
    assert host.password.get_secret_value() == text
    assert str(host) == f"postgresql://app{':***' if text else ''}@h:5432/db"
    assert host.ignored == ()
