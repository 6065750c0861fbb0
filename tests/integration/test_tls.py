"""TLS for real: Debian's PostgreSQL behind, libpq, asyncpg, node-postgres and PgBouncer before and behind the proxy."""

import asyncio
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psycopg
import pytest

from benchmarks.targets import PGBOUNCER, Target, pgbouncer
from dbproxy.demo.postgres import Postgres
from dbproxy.net.certificate import show_fingerprint
from dbproxy.net.tls import read_own
from tests.support.certificates import Authority, Certificate, lend, tls_postgres
from tests.support.node import install, run_async
from tests.support.postgres import PASSWORD, connect
from tests.support.proxy import Proxy
from tests.support.serving import judge_log

WHO = f"user=app password={PASSWORD} dbname=postgres"
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass
class Place:
    """An authority, PostgreSQL with a certificate of it, and the proxy's own certificate."""

    authority: Authority
    server: Postgres
    own: Certificate
    settings: dict[str, object] = field(default_factory=dict)

    def url(self, user: str = "app", **parameters: object) -> str:
        """`localhost` is in the server's certificate."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
        return f"postgresql://{user}:{PASSWORD}@localhost:{self.server.port}/postgres?{query}"

    def proxy(
        self, settings: Mapping[str, object] | None = None, user: str = "app", **parameters: object
    ) -> Proxy:
        """In front of the server, reached so; clients may be encrypted."""
        given = {
            "tls.client_tls_sslmode": "allow",
            "tls.client_tls_cert_file": self.own.chain,
            "tls.client_tls_key_file": self.own.key,
            "pool.size": 3,
            "pool.reserve_size": 0,
            "pool.server_login_retry": "100ms",
            "pool.query_wait_timeout": "3s",
            "auth.admin_users": "app",
            **(settings or {}),
        }
        return Proxy(self.url(user, **parameters), settings=given)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with tls_postgres(authority, **{"test.host": "primary"}) as server:
        yield Place(authority, server, authority.issue_server())


@pytest.fixture(scope="module")
def proxy(place: Place) -> Iterator[Proxy]:
    with place.proxy(
        sslmode="verify-full", sslrootcert=place.authority.path, channel_binding="require"
    ) as running:
        yield running
        judge_log(running)


def dsn(proxy: Proxy, **parameters: object) -> str:
    said = {"sslrootcert": "", "gssencmode": "disable", **parameters}
    return f"host=localhost port={proxy.port} {WHO} " + " ".join(f"{k}={v}" for k, v in said.items() if v)


def ask(conninfo: str, sql: str = ENCRYPTED) -> object:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(sql).fetchone()[0]  # type: ignore[index]


# --- towards servers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "parameters", "outcome"),
    [
        ("app", {"sslmode": "disable"}, False),
        ("app", {"sslmode": "allow"}, False),
        ("app", {"sslmode": "prefer"}, True),
        ("app", {}, True),
        ("app", {"sslmode": "require"}, True),
        ("only_tls", {"sslmode": "allow"}, True),  # refused unencrypted, it tries encrypted
        ("only_tls", {"sslmode": "disable"}, "no encryption"),
        ("only_plain", {"sslmode": "prefer"}, False),  # and the other way round
        ("only_plain", {"sslmode": "require"}, "SSL encryption"),
        ("app", {"sslmode": "verify-ca", "sslrootcert": "ours"}, True),
        ("app", {"sslmode": "verify-full", "sslrootcert": "ours"}, True),
        ("app", {"sslmode": "verify-full", "sslrootcert": "strangers"}, "certificate verify failed"),
        ("app", {"sslmode": "require", "sslrootcert": "strangers"}, "certificate verify failed"),
        ("app", {"sslmode": "prefer", "sslrootcert": "strangers"}, False),
        ("app", {"sslmode": "require", "channel_binding": "require"}, True),
        ("app_md5", {"sslmode": "require", "channel_binding": "require"}, "channel binding is required"),
        ("app", {"sslmode": "disable", "channel_binding": "disable"}, False),
        ("app", {"sslmode": "allow", "channel_binding": "require"}, "channel binding is required"),
        ("app", {"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}, True),
        ("app", {"sslmode": "require", "ssl_max_protocol_version": "TLSv1.2"}, True),
        ("app", {"ssl": "true"}, True),
    ],
)
def test_a_url_means_what_it_means_to_libpq(
    place: Place, tmp_path: Path, user: str, parameters: dict[str, str], outcome: bool | str
):
    authorities = {"ours": str(place.authority.path), "strangers": str(Authority(tmp_path).path)}
    said = {name: authorities.get(value, value) for name, value in parameters.items()}
    with place.proxy(user=user, **said) as proxy:
        conninfo = dsn(proxy).replace("user=app ", f"user={user} ")
        if isinstance(outcome, bool):
            assert ask(conninfo) is outcome
        else:
            with pytest.raises(psycopg.OperationalError, match=outcome):
                ask(conninfo)
        judge_log(proxy)


def test_the_systems_authorities(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(place.authority.path))
    with place.proxy(sslrootcert="system") as proxy:
        assert ask(dsn(proxy)) is True


def test_settings_speak_where_the_url_does_not(place: Place):
    settings = {"tls.server_tls_sslmode": "verify-full", "tls.server_tls_ca_file": place.authority.path}
    with place.proxy(settings) as proxy:
        assert ask(dsn(proxy)) is True


def test_our_certificate_is_shown_to_a_server_that_asks(place: Place):
    own = place.authority.issue_client("with_cert")
    with place.proxy(user="with_cert", sslmode="require", sslcert=own.chain, sslkey=own.key) as proxy:
        assert (
            ask(dsn(proxy).replace("user=app", "user=with_cert"), "SELECT session_user::text") == "with_cert"
        )
    with (
        place.proxy(user="with_cert", sslmode="require") as proxy,  # without
        pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"),
    ):
        ask(dsn(proxy).replace("user=app", "user=with_cert"))


def test_a_cancel_request_goes_encrypted(place: Place, proxy: Proxy):
    with psycopg.connect(dsn(proxy, sslmode="require"), autocommit=True) as connection:
        connection.execute("SET statement_timeout = '20s'")
        worker = connection.cursor()
        with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
            asyncio.run(cancel_soon(connection, worker))


async def cancel_soon(connection: psycopg.Connection, cursor: psycopg.Cursor) -> None:
    task = asyncio.create_task(asyncio.to_thread(cursor.execute, "SELECT pg_sleep(30)"))
    while not task.done():
        await asyncio.sleep(0.1)
        await asyncio.to_thread(connection.cancel_safe)
    await task


def test_replicas_and_probes_are_reached_as_the_servers_are(place: Place):
    """A standby is found, lag is known, and reads go there: all of it by TLS alone."""
    with place.server.create_replica("replica1", settings={"test.host": "replica1"}) as replica:
        root = quote(str(place.authority.path), safe="")
        url = f"postgresql://only_tls:{PASSWORD}@localhost:{replica.port}/postgres?sslmode=verify-full&sslrootcert={root}"
        config = f'[[replicas]]\nname = "replica1"\nurl = "{url}"\n[routing]\nmode = "on"\n'
        running = place.proxy(
            {"routing.slow_start": "0s"},
            user="only_tls",
            sslmode="verify-full",
            sslrootcert=place.authority.path,
        )
        running.config_path.write_text(config)
        with running as proxy:
            conninfo = dsn(proxy).replace("user=app", "user=only_tls")
            with psycopg.connect(conninfo, autocommit=True) as connection:
                deadline = time.monotonic() + 10
                asked = "/* dbproxy: replica */ SHOW test.host"
                while connection.execute(asked).fetchone() != ("replica1",):
                    assert time.monotonic() < deadline, proxy.log()
            judge_log(proxy)


# --- from clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        ("disable", "prefer", False),
        ("disable", "require", "does not support SSL"),
        ("allow", "disable", False),
        ("allow", "allow", False),
        ("allow", "prefer", True),
        ("prefer", "require", True),
        ("require", "disable", "SSL required"),
        ("require", "allow", True),
        ("require", "verify-full", True),
        ("verify-ca", "require", "certificate required|SSL error|closed"),
        ("verify-ca", "with a certificate", True),
        ("verify-full", "with a certificate", True),
        ("verify-full", "with a stranger's", "unknown ca|SSL error|closed"),
    ],
)
def test_clients_are_let_in_as_pgbouncer_lets_them(
    place: Place, tmp_path: Path, ours: str, theirs: str, outcome: bool | str
):
    settings: dict[str, object] = {"tls.client_tls_sslmode": ours}
    if ours.startswith("verify"):
        settings["tls.client_tls_ca_file"] = place.authority.path
    said: dict[str, object] = {"sslmode": theirs, "sslcertmode": "disable"}
    if theirs.startswith("with"):
        by = place.authority if theirs == "with a certificate" else Authority(tmp_path)
        own = by.issue_client("app")
        said = {"sslmode": "require", "sslcert": own.chain, "sslkey": own.key}
    if theirs == "verify-full":
        said["sslrootcert"] = place.authority.path
    with place.proxy(settings) as proxy:
        if isinstance(outcome, str):
            with pytest.raises(psycopg.OperationalError, match=outcome):
                ask(dsn(proxy, **said))
            return
        with psycopg.connect(dsn(proxy, **said)) as connection:
            assert connection.pgconn.ssl_in_use is outcome
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_logins_are_bound_to_the_line(place: Place, proxy: Proxy, version: str, binding: str):
    said = {"sslmode": "verify-full", "sslrootcert": place.authority.path, "channel_binding": binding}
    assert ask(dsn(proxy, **said, ssl_max_protocol_version=version)) is True


def test_a_login_that_must_be_bound_and_cannot_be_ends_at_the_client(proxy: Proxy):
    with pytest.raises(psycopg.OperationalError, match="channel binding required, but SSL not in use"):
        ask(dsn(proxy, sslmode="disable", channel_binding="require"))


@pytest.mark.skipif(psycopg.pq.version() < 170000, reason="direct TLS is libpq's since 17")
def test_direct_tls(place: Place, proxy: Proxy):
    said = {"sslmode": "verify-full", "sslrootcert": place.authority.path, "channel_binding": "require"}
    assert ask(dsn(proxy, **said, sslnegotiation="direct")) is True


@pytest.mark.skipif(psycopg.pq.version() < 170000, reason="direct TLS is libpq's since 17")
def test_direct_tls_both_ways(place: Place, proxy: Proxy):
    """A proxy before the proxy: Debian's PostgreSQL knows no direct TLS yet."""
    root = quote(str(place.authority.path), safe="")
    url = f"postgresql://app:{PASSWORD}@localhost:{proxy.port}/postgres?sslnegotiation=direct&sslrootcert={root}"
    settings = {
        "tls.client_tls_sslmode": "require",
        "tls.client_tls_cert_file": place.own.chain,
        "tls.client_tls_key_file": place.own.key,
    }
    with Proxy(f"{url}&sslmode=verify-full&channel_binding=require", settings=settings) as before:
        said = {"sslmode": "verify-full", "sslrootcert": place.authority.path, "sslnegotiation": "direct"}
        assert ask(dsn(before, **said)) is True
        with connect(place.server) as direct:
            assert (
                direct.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").fetchone()[0]
                >= 1
            )


def test_a_million_rows(proxy: Proxy):
    with psycopg.connect(dsn(proxy, sslmode="require")) as connection:
        found = connection.cursor().stream("SELECT i FROM generate_series(1, 1000000) i")
        assert sum(1 for _ in found) == 1_000_000
    assert proxy.rss() < 300 << 20


def test_who_stops_reading_costs_no_memory(proxy: Proxy):
    before = proxy.rss()
    with psycopg.connect(dsn(proxy, sslmode="require")) as connection:
        found = connection.cursor().stream("SELECT repeat('x', 1000) FROM generate_series(1, 500000) i")
        next(found)
        assert ask(dsn(proxy, sslmode="require")) is True  # others are served
        assert proxy.rss() - before < 30 << 20
        assert sum(1 for _ in found) == 499_999


def test_copy_both_ways(proxy: Proxy):
    with psycopg.connect(dsn(proxy, sslmode="require")) as connection:
        connection.execute("CREATE TEMP TABLE copied (text text) ON COMMIT DROP")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for number in range(50_000):
                copy.write_row((f"{number:0100}",))
        with connection.cursor().copy("COPY copied TO STDOUT") as copy:
            assert sum(len(data) for data in copy) == 50_000 * 101


def test_show_clients_and_servers_say_how_they_are_encrypted(proxy: Proxy):
    with psycopg.connect(dsn(proxy, sslmode="require"), autocommit=True) as client:
        client.execute("SELECT 1")
        console = dsn(proxy, sslmode="disable").replace("dbname=postgres", "dbname=pgbouncer")
        with psycopg.connect(console, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            for table in ("SERVERS", "CLIENTS"):
                cursor = connection.execute(f"SHOW {table}")
                names = [column.name for column in cursor.description or ()]
                found = {
                    row[names.index("tls")]
                    for row in cursor.fetchall()
                    if row[names.index("database")] == "postgres"
                }
                assert found == {"TLSv1.3/TLS_AES_256_GCM_SHA384"}


def test_the_command_line_finds_its_way_to_the_console(place: Place):
    with place.proxy({"tls.client_tls_sslmode": "require"}) as proxy:
        command = [sys.executable, "-m", "dbproxy", "admin", "SHOW CLIENTS"]
        done = subprocess.run(
            command, env=proxy.environment, capture_output=True, text=True, timeout=20, check=False
        )
        assert "TLSv1.3/TLS_AES_256_GCM_SHA384" in done.stdout, done.stderr


async def test_asyncpg(place: Place, proxy: Proxy):
    context = ssl.create_default_context(cafile=place.authority.path)
    for direct in (False, True):
        if direct:
            context.set_alpn_protocols(["postgresql"])
        connection = await asyncpg.connect(
            host="localhost",
            port=proxy.port,
            user="app",
            password=PASSWORD,
            database="postgres",
            ssl=context,
            direct_tls=direct,
        )
        assert await connection.fetchval(ENCRYPTED) is True
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.2)  # cancelled by TLS, too
        assert await connection.fetchval("SELECT 7") == 7
        await connection.close()


def test_node_postgres(place: Place, proxy: Proxy, tmp_path: Path):
    folder = install(tmp_path, "pg")
    body = f"""
  const ca = require('fs').readFileSync({str(place.authority.path)!r}).toString();
  const client = new Client({{connectionString: dsn, ssl: {{ca}}, enableChannelBinding: true}});
  await client.connect();
  const found = await client.query("{ENCRYPTED}");
  await client.end();
  return found.rows[0].ssl;"""
    url = f"postgresql://app:{PASSWORD}@localhost:{proxy.port}/postgres"
    assert run_async(folder, "const { Client } = require('pg');", body, url) is True


def test_no_client_renegotiates(proxy: Proxy):
    """`R` at openssl's client asks for it; in TLS 1.2 that would cost us much more than the client."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    command = [
        "openssl",
        "s_client",
        "-starttls",
        "postgres",
        "-tls1_2",
        "-connect",
        f"localhost:{proxy.port}",
    ]
    done = subprocess.run(command, input="R\n", capture_output=True, text=True, timeout=20, check=False)
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stderr
    assert ask(dsn(proxy, sslmode="require")) is True


# --- rotation -------------------------------------------------------------------------------------------------


async def test_certificates_are_read_again_at_sighup(place: Place, tmp_path: Path):
    chain, key = tmp_path / "own.pem", tmp_path / "own.key"
    shutil.copy(place.own.chain, chain)
    shutil.copy(place.own.key, key)
    settings = {"tls.client_tls_cert_file": chain, "tls.client_tls_key_file": key}
    with place.proxy(settings, sslmode="require") as proxy:
        said = {"sslmode": "verify-full", "sslrootcert": place.authority.path}
        with psycopg.connect(dsn(proxy, **said), autocommit=True) as before:
            strangers = Authority(tmp_path)
            fresh = strangers.issue_server()
            shutil.copy(fresh.chain, chain)
            proxy.send(signal.SIGHUP)  # amid the rotation: the key is still the old one
            failed = await proxy.logged(lambda line: line["event"] == "reload failed")
            assert "own.key" in failed["error"]
            assert ask(dsn(proxy, **said)) is True
            shutil.copy(fresh.key, key)
            proxy.send(signal.SIGHUP)
            reloaded = await proxy.logged(lambda line: line["event"] == "reloaded")
            assert reloaded["certificate"] == show_fingerprint(read_own(str(fresh.chain)))
            said["sslrootcert"] = strangers.path
            assert ask(dsn(proxy, **said)) is True
            assert before.execute(ENCRYPTED).fetchone() == (True,)
        judge_log(proxy)


def test_a_start_with_a_key_that_is_encrypted_fails_with_its_name(place: Place, tmp_path: Path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:hunter2", "-in", place.own.key, "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(AssertionError, match=r'locked\.key" is encrypted') as raised:
        place.proxy({"tls.client_tls_key_file": locked}).__enter__()  # which closes what did not start
    assert "hunter2" not in str(raised.value)


# --- PgBouncer ------------------------------------------------------------------------------------------------


def encrypted_pgbouncer(place: Place, port: int, **more: object) -> AbstractContextManager[Target]:
    """In front of this port of `localhost`, by TLS both ways."""
    own = {"cert": lend(place.server, place.own.chain), "key": lend(place.server, place.own.key)}
    settings = {
        "client_tls_sslmode": "require",
        "client_tls_cert_file": own["cert"],
        "client_tls_key_file": own["key"],
        "server_tls_sslmode": "verify-full",
        "server_tls_ca_file": lend(place.server, place.authority.path),
        "ignore_startup_parameters": "extra_float_digits",
        **more,
    }
    login = f"user=app password={PASSWORD} host=localhost port={port}"
    return pgbouncer(place.server, 3, login, more=settings)


@pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed (apt-get install pgbouncer)")
def test_pgbouncer_before_the_proxy(place: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGSSLMODE", "require")
    with encrypted_pgbouncer(place, proxy.port) as before:
        conninfo = f"host=localhost port={before.port} {WHO} sslmode=require gssencmode=disable"
        assert ask(conninfo) is True
        console = dsn(proxy, sslmode="disable").replace("dbname=postgres", "dbname=pgbouncer")
        with psycopg.connect(console, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            shown = connection.execute("SHOW CLIENTS").fetchall()
        assert any("TLSv1.3/TLS_AES_256_GCM_SHA384" in row for row in shown)


@pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed (apt-get install pgbouncer)")
def test_pgbouncer_behind_the_proxy(place: Place, tmp_path: Path):
    """It has no SCRAM-SHA-256-PLUS: a login cannot be bound, and is not unless that is required."""
    root = quote(str(place.authority.path), safe="")
    users = tmp_path / "users.txt"
    users.write_text(f'"app" "{PASSWORD}"\n"postgres" "{place.server.password}"\n')
    more = {"auth_type": "scram-sha-256", "auth_file": lend(place.server, users)}
    with encrypted_pgbouncer(place, place.server.port, **more) as behind:
        for binding, outcome in (("prefer", True), ("require", "channel binding is required")):
            url = f"postgresql://app:{PASSWORD}@localhost:{behind.port}/postgres?sslmode=verify-full&sslrootcert={root}"
            settings = {"pool.query_wait_timeout": "3s", "pool.follow_defaults": False, "pool.size": 1}
            with Proxy(f"{url}&channel_binding={binding}", settings=settings) as proxy:
                if outcome is True:
                    assert ask(dsn(proxy)) is True
                else:
                    with pytest.raises(psycopg.OperationalError, match=str(outcome)):
                        ask(dsn(proxy))
