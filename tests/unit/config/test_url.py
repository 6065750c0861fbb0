import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config.parameters import REFUSED
from dbproxy.config.url import Host, TlsWish, parse_url


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
    ("query", "wish"),
    [
        ("", TlsWish()),
        ("sslmode=verify-full&sslrootcert=/ca.pem", TlsWish(sslmode="verify-full", sslrootcert="/ca.pem")),
        ("sslrootcert=system", TlsWish(sslmode="verify-full", sslrootcert="system")),
        ("sslnegotiation=direct", TlsWish(sslmode="require", sslnegotiation="direct")),
        ("sslmode=require&sslsni=0", TlsWish(sslmode="require", sslsni=False)),
        ("channel_binding=require", TlsWish(channel_binding="require")),
        ("ssl=true", TlsWish(sslmode="require")),
        ("ssl=no-verify", TlsWish(sslmode="require")),
        ("sslmode=no-verify", TlsWish(sslmode="require")),
        ("ssl=false", TlsWish(sslmode="disable")),
        ("ssl=true&sslmode=verify-ca", TlsWish(sslmode="verify-ca")),
        ("sslcert=/c&sslkey=/k", TlsWish(sslcert="/c", sslkey="/k")),
    ],
)
def test_what_a_url_says_of_tls_is_kept_in_libpq_s_words(query: str, wish: TlsWish):
    host = parse(f"postgresql://h/db?{query}")
    assert host.tls == wish
    assert host.ignored == ()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslmode=always", "unknown sslmode"),
        ("ssl=perhaps", "unknown sslmode"),
        ("sslnegotiation=later", "unknown sslnegotiation"),
        ("channel_binding=yes", "unknown channel_binding"),
        ("ssl_min_protocol_version=SSLv3", "unknown ssl_min_protocol_version"),
        ("sslmode=require&sslrootcert=system", "weak sslmode"),
        ("sslmode=prefer&sslnegotiation=direct", "weak sslmode"),
        (
            "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
            "ssl_min_protocol_version above",
        ),
        ("gssencmode=require", "GSSAPI"),
        ("sslpassword=hunter2", "encrypted key"),
        ("sslcrldir=/crl", "revocation"),
    ],
)
def test_a_wish_that_makes_no_sense_or_cannot_be_had_is_refused_by_name(query: str, why: str):
    with pytest.raises(ValueError, match=why) as raised:
        parse(f"postgresql://h/db?{query}")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql://u:hunter2@h/db", "must be a URL"),
        ("host=h password=hunter2 x", "must be a URL"),
        ("host=h passwd=hunter2", "must be a URL"),
        ("user= password=hunter2", "its value"),
        ("postgresql://u:hunter2/x@h/db", "percent-encoded"),
        ("postgresql://u:hunter2@h:port/db", "port number"),
        ("postgresql://u:hunter2@h:70000/db", "from 1 to 65535"),
        ("postgresql://u:hunter2@h1,h2:5,h3/db?port=1,2", "as many ports"),
        ("postgresql://h/db?hostaddr=10.0.0.1,10.0.0.2&password=hunter2", "as many hostaddrs"),
        ("postgresql://h/db?hostaddr=db.internal&password=hunter2", "numeric IP"),
        ("postgresql://h/db?target_session_attrs=writable&password=hunter2", "valid are any, read-write"),
        ("postgresql://h/db?load_balance_hosts=yes&password=hunter2", "valid are disable, random"),
        ("postgresql://h/db?connect_timeout=hunter2", "whole number"),
        ("postgresql://h/db?require_auth=hunter2", "unknown require_auth"),
        ("postgresql://h/db?require_auth=md5,!none&password=hunter2", "unknown require_auth"),
        ("postgresql://h/db?keepalives_idle=40000&password=hunter2", "at most 32767"),
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


# --- several hosts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("postgresql://a,b/db", ["a:5432", "b:5432"]),
        ("postgresql://a:1,b:2/db", ["a:1", "b:2"]),
        ("postgresql://a,b:2,[::1]:3/db", ["a:5432", "b:2", "[::1]:3"]),
        ("postgresql://a,b/db?port=7", ["a:7", "b:7"]),
        ("postgresql:///db?host=/run/pg,b&port=1,2", ["/run/pg/.s.PGSQL.1", "b:2"]),
        ("host=a,b port=1", ["a:1", "b:1"]),
        ("host=a,,b port=1,,3", ["a:1", "localhost:5432", "b:3"]),
        ("hostaddr=10.0.0.1,10.0.0.2", ["10.0.0.1:5432", "10.0.0.2:5432"]),
        ("postgresql+asyncpg://u:p@/db?host=a:1&host=b:2", ["a:1", "b:2"]),
        ("jdbc:postgresql://a:1,b/db", ["a:1", "b:5432"]),
    ],
)
def test_several_hosts_have_each_its_port(text: str, addresses: list[str]):
    assert [host.address for host in parse(text).each()] == addresses
    assert all(not host.others for host in parse(text).each())


def test_several_hosts_are_shown_together_and_share_the_login():
    host = parse(
        "postgresql://app:hunter2@a:1,b:2/db?target_session_attrs=read-write&load_balance_hosts=random"
    )
    assert str(host) == "postgresql://app:***@a:1,b:2/db"
    assert [one.password.get_secret_value() for one in host.each()] == ["hunter2"] * 2
    assert {(one.attrs, one.balances) for one in host.each()} == {("read-write", True)}
    assert [one.dbname for one in host.with_dbname("other").each()] == ["other", "other"]
    assert parse("postgresql://a,b/db") != parse("postgresql://a/db")


def test_address_that_is_given_is_connected_to_and_the_name_stays():
    first, second = parse("host=one.test,two.test hostaddr=10.0.0.1,10.0.0.2").each()
    assert (first.host, first.hostaddr) == ("one.test", "10.0.0.1")
    assert (second.host, second.hostaddr) == ("two.test", "10.0.0.2")


# --- other parameters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_parameter_that_cannot_be_served_is_refused_by_its_name_with_what_to_do(name: str):
    with pytest.raises(ValueError, match=rf"asks by {name} .*; ") as raised:
        parse(f"postgresql://h/db?{name}=hunter2")
    assert "hunter2" not in str(raised.value)
    for harmless in REFUSED[name][0]:
        assert parse(f"postgresql://h/db?{name}={harmless}").ignored == ()


@pytest.mark.parametrize(
    ("query", "minors"),
    [
        ("", (0, 0)),
        ("max_protocol_version=latest", (0, 2)),
        ("min_protocol_version=3.0&max_protocol_version=3.2", (0, 2)),
        ("min_protocol_version=3.2", (2, 2)),
    ],
)
def test_servers_are_spoken_to_in_the_protocol_that_is_named(query: str, minors: tuple[int, int]):
    assert parse(f"postgresql://h/db?{query}").minors == minors


@pytest.mark.parametrize(
    "query", ["max_protocol_version=3.1", "min_protocol_version=latest&max_protocol_version=3.0"]
)
def test_protocol_that_cannot_be_is_refused(query: str):
    with pytest.raises(ValueError, match="protocol_version"):
        parse(f"postgresql://h/db?{query}")


def test_servers_are_told_the_options_and_the_application_s_name():
    told = parse(
        "postgresql://h/db?options=-c%20work_mem%3D8MB&application_name=shop&fallback_application_name=x"
    )
    assert dict(told.startup) == {"options": "-c work_mem=8MB", "application_name": "shop"}
    assert parse("fallback_application_name=x").startup == (("application_name", "x"),)
    assert "8MB" not in repr(told)


def test_keepalive_is_as_the_string_has_it():
    assert parse("host=h").socket_options == ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)
    assert parse("keepalives=0 keepalives_idle=5").socket_options == (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0),
    )
    assert parse(
        "keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=900"
    ).socket_options == (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 900),
    )


def test_connect_timeout_is_seconds_and_none_where_it_is_not_positive():
    assert parse("connect_timeout=3").connect_timeout == 3.0
    assert parse("connect_timeout=-1").connect_timeout == parse("host=h").connect_timeout == 0.0


def test_jdbc_s_own_words_are_understood():
    host = parse(
        "jdbc:postgresql://a,b/db?user=app&password=geheim&targetServerType=preferSecondary&loadBalanceHosts=true"
        "&ApplicationName=shop&connectTimeout=4&ssl=true&currentSchema=x"
    )
    assert (host.user, host.password.get_secret_value()) == ("app", "geheim")
    assert (host.attrs, host.balances, host.connect_timeout) == ("prefer-standby", True, 4.0)
    assert (host.tls.sslmode, dict(host.startup)["application_name"]) == ("verify-full", "shop")
    assert host.ignored == ("currentSchema",)
    assert parse("jdbc:postgresql:shop").dbname == parse("jdbc:postgresql:/shop").dbname == "shop"


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres",
        "postgresql",
        "postgresql+psycopg2",
        "postgresql+asyncpg",
        "postgres+psycopg",
        "jdbc:postgresql",
    ],
)
def test_scheme_may_name_a_driver(scheme: str):
    assert parse(f"{scheme}://u:p@h:7/db") == parse("postgresql://u:p@h:7/db")


def test_requiressl_is_an_older_word_for_an_sslmode():
    assert parse("requiressl=1").tls.sslmode == "require"
    assert parse("requiressl=0").tls.sslmode == "prefer"
    assert parse("requiressl=1 sslmode=verify-full").tls.sslmode == "verify-full"


# --- files ----------------------------------------------------------------------------------------------------


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def password_of(text: str, environ: dict[str, str]) -> list[str]:
    host = parse_url(text, environ)
    assert host is not None
    return [one.password.get_secret_value() for one in host.each()]


def test_password_is_looked_for_in_the_passfile_for_each_host(tmp_path: Path):
    write(tmp_path / ".pgpass", "a:5432:db:app:of a\n*:7:app:app:of b\nlocalhost:*:*:app:here\n")
    environ = {"HOME": str(tmp_path)}
    assert password_of("postgresql://app@a,b/db", environ) == ["of a", ""]
    assert password_of("postgresql://app@b:7", environ) == ["of b"]
    assert password_of("postgresql://app@%2Ftmp/x", environ) == ["here"]
    assert password_of("postgresql://app:own@a/db", environ) == ["own"]
    assert password_of("postgresql://a/db", environ) == [""]
    own = write(tmp_path / "own", "*:*:*:*:mine")
    assert password_of(f"postgresql://app@a/db?passfile={own}", environ) == ["mine"]
    assert password_of("postgresql://app@a/db", {**environ, "PGPASSFILE": str(own)}) == ["mine"]


def test_socket_is_found_in_the_passfile_by_its_folder_too(tmp_path: Path):
    write(tmp_path / ".pgpass", "/tmp:*:*:app:by folder\n/own:*:*:app:own\nlocalhost:*:*:*:here\n")
    environ = {"HOME": str(tmp_path)}
    assert password_of("postgresql://app@/db?host=/tmp", environ) == ["by folder"]
    assert password_of("postgresql://other@/db?host=/tmp", environ) == ["here"]
    assert password_of("postgresql://app@/db?host=/own", environ) == ["own"]
    assert password_of("postgresql://other@/db?host=/own", environ) == [""]


def test_passfile_that_others_may_read_is_not_used_and_that_is_said(tmp_path: Path):
    path = write(tmp_path / ".pgpass", "*:*:*:*:geheim", 0o640)
    host = parse_url("postgresql://app@a/db", {"HOME": str(tmp_path)})
    assert host is not None
    assert host.password.get_secret_value() == ""
    assert host.remarks == (
        f"{path} may be read by others, so no password is taken from it: chmod 0600 {path}",
    )


def test_service_fills_in_what_the_string_does_not_say(tmp_path: Path):
    file = write(tmp_path / "services", "[shop]\nhost=a,b\nport=7\nuser=app\npassword=geheim\ndbname=x\n")
    host = parse_url("postgresql:///own?service=shop", {"PGSERVICEFILE": str(file)})
    assert host is not None
    assert [one.address for one in host.each()] == ["a:7", "b:7"]
    assert (host.user, host.password.get_secret_value(), host.dbname) == ("app", "geheim", "own")
    with pytest.raises(ValueError, match="names a service that is not in") as raised:
        parse_url("service=hunter2", {"PGSERVICEFILE": str(file)})
    assert "hunter2" not in str(raised.value)
