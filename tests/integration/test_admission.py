"""Clients let in by rules in pg_hba.conf's format: every method, by real clients, over TCP, TLS and a Unix socket."""

import getpass
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from dbproxy.auth.md5 import make_md5_secret
from tests.support.certificates import Authority
from tests.support.postgres import PASSWORD, Database
from tests.support.programs import run
from tests.support.proxy import Proxy
from tests.support.serving import serving

RULES = """\
local     all          app_md5                peer map=me     # who runs the tests may be app_md5
local     all          app_trust              peer
local     all          app_password           password
local     all          all                    scram-sha-256
hostssl   all          app_md5      all       cert map=certs
hostssl   all          app_password all       password
hostssl   all          app          all       scram-sha-256 clientcert=verify-full
hostnossl all          app_password all       password
host      all          app          127.0.0.2/32 reject
host      all          app          all       scram-sha-256
host      dbproxy      dbproxy      samehost  trust
host      all          app_trust    127.0.0.0/8 trust
include   more.conf
"""
MAPS = r"""
me     {me}                  app_md5
certs  /^(.*)\.app\.test$    \1
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rules")
    (made / "pg_hba.conf").write_text(RULES)
    (made / "more.conf").write_text("host all nobody all reject\n")
    (made / "pg_ident.conf").write_text(MAPS.format(me=getpass.getuser()))
    users = {"app": PASSWORD, "app_md5": make_md5_secret("app_md5", PASSWORD), "app_password": PASSWORD}
    (made / "userlist.txt").write_text("".join(f'"{user}" "{text}"\n' for user, text in users.items()))
    return made


@pytest.fixture(scope="module")
def ruled(module_database: Database, authority: Authority, folder: Path) -> Iterator[Proxy]:
    certificate = authority.issue_server()
    settings = {
        "auth.type": "hba",
        "auth.hba_file": folder / "pg_hba.conf",
        "auth.ident_file": folder / "pg_ident.conf",
        "auth.file": folder / "userlist.txt",
        "listen.unix_socket_dir": folder,
        "tls.client_tls_sslmode": "prefer",
        "tls.client_tls_cert_file": certificate.chain,
        "tls.client_tls_key_file": certificate.key,
        "tls.client_tls_ca_file": authority.path,
    }
    with serving(module_database, settings) as running:
        yield running


def who_am_i(proxy: Proxy, user: str, **parameters: object) -> str:
    dsn = proxy.dsn(user=user, password=PASSWORD)
    with psycopg.connect(dsn, **{"sslmode": "disable", **parameters}) as connection:  # type: ignore[arg-type]
        row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


def refusal(proxy: Proxy, user: str, **parameters: object) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        who_am_i(proxy, user, **parameters)
    return str(refused.value)


def shown(authority: Authority, name: str) -> dict[str, object]:
    """The parameters of a client that shows a certificate in this name."""
    certificate = authority.issue_client(name)
    return {"sslmode": "require", "sslcert": str(certificate.chain), "sslkey": str(certificate.key)}


def unix(folder: Path, proxy: Proxy) -> dict[str, object]:
    return {"host": str(folder), "port": proxy.port}


def test_scram_over_tcp(ruled: Proxy) -> None:
    assert who_am_i(ruled, "app") == "app"


def test_trust_asks_for_nothing(ruled: Proxy) -> None:
    assert who_am_i(ruled, "app_trust", password="") == "app_trust"


def test_no_line_for_it_has_postgresqls_words(ruled: Proxy, module_database: Database) -> None:
    told = refusal(ruled, "app_md5")
    name = module_database.name
    assert (
        f'no pg_hba.conf entry for host "127.0.0.1", user "app_md5", database "{name}", no encryption' in told
    )


async def test_no_line_for_it_has_its_sqlstate(ruled: Proxy) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as refused:
        await asyncpg.connect(ruled.dsn(user="app_md5", password=PASSWORD), ssl=False)
    assert refused.value.sqlstate == "28000"


def test_line_that_rejects_has_postgresqls_words_and_our_log_names_it(ruled: Proxy) -> None:
    assert 'pg_hba.conf rejects connection for host "127.0.0.1", user "nobody"' in refusal(ruled, "nobody")
    (line,) = [line for line in ruled.log_lines() if line.get("user") == "nobody"]
    assert line["detail"].endswith("more.conf:1")


def test_psql_is_let_in(ruled: Proxy, module_database: Database) -> None:
    shown = run(
        module_database.server,
        "psql",
        "-XAtc",
        "SELECT session_user",
        dsn=ruled.dsn(user="app", password=PASSWORD),
    )
    assert shown.strip() == "app"


async def test_asyncpg_is_let_in(ruled: Proxy) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    dsn = ruled.dsn(user="app_password", password=PASSWORD)
    connection = await asyncpg.connect(dsn, ssl=context)
    assert await connection.fetchval("SELECT session_user") == "app_password"
    await connection.close()


def test_password_is_asked_for_on_encrypted_lines_and_unix_sockets_only(ruled: Proxy, folder: Path) -> None:
    assert "needs an encrypted connection or a Unix socket" in refusal(ruled, "app_password")
    assert who_am_i(ruled, "app_password", sslmode="require") == "app_password"
    assert who_am_i(ruled, "app_password", **unix(folder, ruled)) == "app_password"
    assert "password authentication failed" in refusal(
        ruled, "app_password", sslmode="require", password="wrong"
    )


def test_peer_is_who_the_kernel_says_by_a_map(ruled: Proxy, folder: Path) -> None:
    assert who_am_i(ruled, "app_md5", password="", **unix(folder, ruled)) == "app_md5"
    told = refusal(ruled, "app_trust", password="", **unix(folder, ruled))
    assert 'Peer authentication failed for user "app_trust"' in told


def test_certificate_is_a_login_by_a_map(ruled: Proxy, authority: Authority) -> None:
    assert who_am_i(ruled, "app_md5", password="", **shown(authority, "app_md5.app.test")) == "app_md5"
    told = refusal(ruled, "app_md5", password="", **shown(authority, "app.app.test"))
    assert 'certificate authentication failed for user "app_md5"' in told
    told = refusal(ruled, "app_md5", password="", **shown(authority, "app_md5"))
    assert 'certificate authentication failed for user "app_md5"' in told


def test_certificate_is_demanded_beside_a_password(ruled: Proxy, authority: Authority) -> None:
    assert who_am_i(ruled, "app", **shown(authority, "app")) == "app"
    assert "connection requires a valid client certificate" in refusal(ruled, "app", sslmode="require")
    assert "connection requires a valid client certificate" in refusal(ruled, "app_md5", sslmode="require")
    assert "certificate authentication failed" in refusal(ruled, "app", **shown(authority, "other"))
    assert "password authentication failed" in refusal(
        ruled, "app", **shown(authority, "app"), password="wrong"
    )


def test_certificate_of_another_authority_is_none(ruled: Proxy, tmp_path: Path) -> None:
    assert refusal(ruled, "app", **shown(Authority(tmp_path), "app"))


def test_console_is_a_database_like_any_other(ruled: Proxy) -> None:
    dsn = ruled.dsn("dbproxy", user="dbproxy", password="")
    with psycopg.connect(dsn, sslmode="disable", autocommit=True) as console:
        assert console.execute("SHOW VERSION").fetchone()


async def test_rules_are_read_again_and_bad_ones_change_nothing(ruled: Proxy, folder: Path) -> None:
    more = folder / "more.conf"
    more.write_text("host all nobody all trust\nhost all all all ldap\n")
    ruled.send(signal.SIGHUP)
    failed = await ruled.logged(lambda line: line["event"] == "reload failed")
    assert failed["error"].startswith(f'{more}:2: authentication method "ldap" is not served')
    assert "pg_hba.conf rejects connection" in refusal(ruled, "nobody")
    more.write_text("host all nobody all md5\n")
    ruled.send(signal.SIGHUP)
    await ruled.logged(lambda line: line["event"] == "reloaded")
    assert "password authentication failed" in refusal(ruled, "nobody")


async def test_unknown_user_is_told_apart_in_our_log_alone(module_database: Database) -> None:
    with serving(module_database) as proxy:
        unknown, known = refusal(proxy, "nobody", password="wrong"), refusal(proxy, "app", password="wrong")
        assert unknown.replace("nobody", "app") == known
        details = [line["detail"] for line in proxy.log_lines() if line["event"] == "client refused"]
        assert details[0].startswith("there is no such user in auth.file")
        assert details[1].startswith("the password is wrong")


def test_inline_rules_need_no_file(module_database: Database) -> None:
    config = '[auth]\ntype = "hba"\nhba = ["host all app 127.0.0.1/32 trust", "host all all all reject"]\n'
    with serving(module_database, config=config) as proxy:
        assert who_am_i(proxy, "app", password="") == "app"
        assert "pg_hba.conf rejects connection" in refusal(proxy, "app_md5")


def test_host_names_and_roles_are_asked_for(module_database: Database) -> None:
    """`localhost` leads back to 127.0.0.1; app_md5 is a member of app (tests.support.postgres)."""
    rules = ["host all +app localhost trust", "host all all all reject"]
    config = f'[auth]\ntype = "hba"\nuser = "app"\nhba = {rules}\n'.replace("'", '"')
    with serving(module_database, config=config) as proxy:
        assert who_am_i(proxy, "app_trust", password="") == "app_trust"
        assert "pg_hba.conf rejects connection" in refusal(proxy, "stranger")


@pytest.mark.parametrize(
    ("hba", "message"),
    [
        ('["host all all all ldap"]', 'auth.hba:1: authentication method "ldap" is not served'),
        ('["local all all trust", "host all"]', "auth.hba:2: end-of-line before role specification"),
        ('["host all +staff all md5"]', "auth.hba:1: a role's members have to be asked for: set auth.user"),
        ('["include missing.conf"]', 'auth.hba:1: could not open file "missing.conf"'),
    ],
)
def test_bad_rules_are_told_at_the_start(hba: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "dbproxy.toml"
    config.write_text(f'[primary]\nurl = "postgresql://x@y/z"\n[auth]\ntype = "hba"\nhba = {hba}\n')
    done = subprocess.run(
        [sys.executable, "-m", "dbproxy", "check", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
