from collections.abc import Callable
from pathlib import Path

import pytest

from dbproxy.config import load
from dbproxy.config.keys import list_entries, walk_keys
from dbproxy.config.written import Assignment, Written
from dbproxy.errors import ConfigurationError

# The file of the design, as it stands there.
SAMPLE = """\
[listen]                      # where applications connect
host = "127.0.0.1"
port = 6432
unix_socket_dir = ""
[http]                        # metrics, health, page
host = "127.0.0.1"
port = 9127
[auth]                        # how clients log in
type = "scram-sha-256"        # or md5, trust, ...
file = "userlist.txt"         # PgBouncer's format
admin_users = ["dbproxy"]
[primary]
url = "postgresql://app:secret@primary.internal:5432/app"
[[replicas]]
name = "replica1"
url = "postgresql://app:secret@replica1.internal:5432/app"
[pool]
mode = "transaction"
size = 50
reserve_size = 5
max_client_conn = 10000
[routing]
mode = "on"                   # off, observe, on
consistency = "session"       # eventual, session, global
[databases.reports]           # any of the above keys for one database (or [users.NAME]); a database that is
pool.mode = "session"         # not listed is passed through by its own name to the same hosts
[slow_query]
threshold = "100ms"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        (tmp_path / "userlist.txt").touch()
        path = tmp_path / "dbproxy.toml"
        path.write_text(text)
        return path

    return write_file


def mistakes(path: Path | None = None, environ: dict[str, str] | None = None, **overrides: str) -> list[str]:
    """The lines of the error, the file's folder left out."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    with pytest.raises(ConfigurationError) as raised:
        load(path, environ or {}, given)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None  # pydantic's own error holds the raw values
    return raised.value.message.replace(f"{path.parent}/" if path else "\0", "").splitlines()


def test_the_designs_sample_is_taken_as_it_is(write: Write):
    settings = load(write(SAMPLE), {})
    assert settings.auth.file is not None
    assert settings.auth.file.name == "userlist.txt"
    assert settings.pool_for("reports", "app").mode == "session"
    assert settings.server_for("app").address == "primary.internal:5432"


def test_nothing_at_all_gives_the_defaults():
    assert load(None, {}).listen.port == 6432


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(write: Write):
    path = write("[pool]\nsize = 1\nreserve_size = 1\nmin_pool_size = 1\n")
    environ = {"DBPROXY_POOL__SIZE": "2", "DBPROXY_POOL__RESERVE_SIZE": "2"}
    pool = load(path, environ, {"pool.size": "3"}).pool
    assert (pool.size, pool.reserve_size, pool.min_pool_size) == (3, 2, 1)


def test_lists_and_booleans_come_from_the_environment():
    environ = {
        "DBPROXY_AUTH__ADMIN_USERS": "alice,bob",
        "QUERY_MONITORING_ENABLED": "false",
        "DATABASE_READ_REPLICAS": "postgresql://a/d,postgresql://b/d",
        "DBPROXY_DATABASES__REPORTS__POOL__MODE": "session",
    }
    settings = load(None, environ)
    assert settings.auth.admin_users == ("alice", "bob")
    assert settings.slow_query.enabled is False
    assert [str(replica.url) for replica in settings.replicas] == [
        "postgresql://a:5432/d",
        "postgresql://b:5432/d",
    ]
    assert settings.pool_for("reports", "any").mode == "session"


def test_every_mistake_is_listed_with_its_place(write: Write):
    path = write('[listen]\nport = "http"\n[pool]\nmode = "fast"\nsize = 0\nreserve_timeout = "5 parsecs"\n')
    assert mistakes(path, {"SLOW_QUERY_THRESHOLD_MS": "slow"}, log__connections="perhaps") == [
        'dbproxy.toml:2: listen.port = "http": must be a port number from 0 to 65535, such as 6432',
        "dbproxy.toml:4: pool.mode = \"fast\": must be 'transaction', 'session' or 'statement'",
        "dbproxy.toml:5: pool.size = 0: must be at least 1",
        'dbproxy.toml:6: pool.reserve_timeout = "5 parsecs": must be a duration: a number and one of '
        'ms, s, m, h, d, such as "30s" (at most 3650d)',
        'SLOW_QUERY_THRESHOLD_MS: slow_query.threshold = "slow": must be a number of milliseconds, such as 100',
        '--set: log.connections = "perhaps": must be true or false',
    ]


def test_a_broken_file_does_not_hide_the_environments_mistakes(write: Write):
    found = mistakes(write("[pool\n"), {"DBPROXY_POOL__SIZE": "x"})
    assert [line.split(": ")[0] for line in found] == ["dbproxy.toml:1", "DBPROXY_POOL__SIZE"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[pool]\nshutdwn_timeout = 1",
            "2: pool.shutdwn_timeout: unknown key, did you mean pool.shutdown_timeout?",
        ),
        (
            "[listen]\nmax_client_conn = 1",
            "2: listen.max_client_conn: unknown key; it belongs in pool.max_client_conn",
        ),
        ("backlog = 5", "1: backlog: unknown key; it belongs in listen.backlog"),
        ("[pool]\ndefault_pool_size = 5", "2: pool.default_pool_size: unknown key, did you mean pool.size?"),
        (
            "[pool]\nignore_startup_parameters = ''",
            "2: pool.ignore_startup_parameters: unknown key; leave it out: ",
        ),
        (
            "[databases.a]\nconnect_query = 'SET x.y = 1'",
            "2: databases.a.connect_query: unknown key; leave it out: what it sets say options in the URL, ",
        ),
        (
            "[pgbouncer]\nlisten_port = 1",
            "1: pgbouncer: unknown key; PgBouncer's settings have other names here: ",
        ),
        (
            "; mine\n[pgbouncer]\nlisten_addr = *\n",
            "1: not TOML; PgBouncer's settings have other names here: ",
        ),
        ("[primary]\nhost = 'h'", "2: primary.host: unknown key; it is part of the url: postgresql://"),
        ("[databases.a]\nport = 1", "2: databases.a.port: unknown key; it is part of the url: postgresql://"),
        ("[pools]\nsize = 5", "1: pools: unknown key, did you mean pool?"),
        ("[pool]\nzzzzzz = 5", "2: pool.zzzzzz: unknown key; `docs/configuration.md` lists all keys"),
        (
            "[databases.reports]\nsize = 5",
            "2: databases.reports.size: unknown key; it belongs in databases.reports.pool.size",
        ),
        (
            "[databases.reports.pool]\nmax_client_conn = 5",
            "2: databases.reports.pool.max_client_conn: unknown key; it belongs in pool.max_client_conn",
        ),
        (
            "[users.bob]\npool.sise = 5",
            "2: users.bob.pool.sise: unknown key, did you mean users.bob.pool.size?",
        ),
        (
            "[users.bob]\nlisten.port = 5",
            "2: users.bob.listen: unknown key; [listen] is for all, and cannot differ for one of [users]",
        ),
        ("[[replicas]]\nurl = 'postgresql://h/d'\nnaem = 'x'", "3: replicas[0].naem: unknown key"),
    ],
)
def test_an_unknown_key_says_where_it_belongs(write: Write, text: str, line: str):
    [found] = mistakes(write(text))
    assert found.startswith(f"dbproxy.toml:{line}")


def test_an_unknown_name_in_the_environment_says_what_was_meant():
    assert mistakes(None, {"DBPROXY_POOL_SIZE": "5"}) == [
        "DBPROXY_POOL_SIZE: pool_size: unknown key, did you mean pool.size (DBPROXY_POOL__SIZE)?"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("pool = 5", "1: pool = 5: must be a table, written [pool]"),
        ("databases = 5", "1: databases = 5: must be a table, written [databases]"),
        ("replicas = 5", "1: replicas = 5: must be a list of tables, each written [[replicas]]"),
        ("[[replicas]]\nname = 'x'", "1: replicas[0]: a replica needs its url"),
        ("[listen]\nunix_socket_dir = 5", "2: listen.unix_socket_dir = 5: must be text in quotes"),
        ("[listen]\nhost = ''", "1: listen: nothing to listen on: set listen.host or listen.unix_socket_dir"),
        (
            "[listen]\nmax_message_size = '2GiB'",
            '2: listen.max_message_size = "2GiB": must be at most 1GiB',
        ),
        (
            "[auth]\ntype = 'kerberos'",
            "2: auth.type = \"kerberos\": must be 'scram-sha-256', 'md5', 'password', 'cert', 'peer', 'trust' or 'hba'",
        ),
        ("[slow_query]\nthreshold = 'off'", '2: slow_query.threshold = "off": must be a duration'),
    ],
)
def test_a_wrong_value_says_what_would_be_right(write: Write, text: str, line: str):
    [found] = mistakes(write(text))
    assert found.startswith(f"dbproxy.toml:{line}")


def test_a_missing_auth_file_is_a_mistake_on_its_line(tmp_path: Path, write: Write):
    [found] = mistakes(write('[auth]\nfile = "nobody.txt"'))
    assert found.startswith('dbproxy.toml:2: auth.file = "')
    assert "nobody.txt" in found
    assert "no such file" in found


def test_a_missing_file_is_named_though_it_is_called_after_a_password(write: Write):
    [found] = mistakes(write('[users.app]\npassword_file = "app_password"'))
    assert 'users.app.password_file = "app_password": no such file' in found
    [found] = mistakes(write('[users.app]\npassword_file = "postgresql://app:hunter2@h/db"'))
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunter2@h:x/db",
        "postgresql://app:hunter2@h/db?sslmode=required",
        "postgresql://app:hun/hunter2@h/db",
        "postgresql://app:12/hunter2@h/db",
        "postgresql://app:1@2/hunter2@h/db",
        "postgresql://app:12?hunter2/x@h/db",
        "postgresql://app:hunter2",
        "postgresql://app%3Ahunter2@h/db",
        "postgres+asyncpg://app:hunter2@h:x/db",
        "jdbc:postgresql://h:x/db?user=app&password=hunter2",
        "host=h user=app password=hunter2 x",
        "host=h port=x user=app password='hunter2'",
        "host=h user=app passwd=hunter2",
        "service=hunter2",
        "scram_client_key=hunter2",
        "app:hunter2@h",
        "hunter2",
    ],
)
def test_no_mistake_shows_a_password(write: Write, url: str):
    path = write(
        f'[primary]\nurl = "{url}"\npassword = "hunter2"\n[pool]\nsize = "postgresql://app:hunter2@h/db"'
    )
    environ = {"DATABASE_READ_REPLICAS": f"postgresql://ok/db,{url}", "DBPROXY_PRIMARY__PASSWD": "hunter2"}
    found = mistakes(path, environ, primary__password="hunter2")
    assert len(found) == 5
    assert "hunter2" not in "\n".join(found)


def test_an_unknown_sslmode_is_a_mistake_that_names_what_is_known():
    [found] = mistakes(None, {"DATABASE_URL": "postgresql://app:pw@h/db?sslmode=verify"})
    assert found.startswith('DATABASE_URL: primary.url = "***": has an unknown sslmode')
    assert "verify-ca, verify-full" in found


def test_no_mistake_and_no_entry_shows_a_token(write: Write):
    with pytest.raises(ConfigurationError) as raised:
        load(write('[http]\ntoken = "wholly wrong"'), {})
    assert 'http.token = "***": must be ASCII' in str(raised.value)
    assert "wholly" not in str(raised.value)
    good = load(write('[http]\ntoken = "battery"'), {})
    assert "battery" not in repr(good)
    assert [entry.shown for entry in list_entries(good) if entry.key == "http.token"] == ["***"]


def test_an_unreadable_file_is_a_mistake(tmp_path: Path):
    assert mistakes(tmp_path / "none.toml") == ["none.toml: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    "text",
    [
        "url = postgresql://app:hunter2@h/db",
        'url = "postgresql://app:hunter2@h/db',
        'url = "postgresql://app:x"hunter2@h/db"',
        "postgresql://app:hunter2@h/db",
        '"postgresql://app:hunter2@h/db"',
        "[postgresql://app:hunter2@h/db]",
        '["postgresql://app:hunter2@h/db"]\n["postgresql://app:hunter2@h/db"]',
        '"postgresql://app:hunter2@h/db" = 1\n"postgresql://app:hunter2@h/db" = 2',
        'primary = {"postgresql://app:hunter2@h/db" = 1, "postgresql://app:hunter2@h/db" = 2}',
        'url = "postgresql://app:hunter2\\@h/db"',
        "password = hunter2",
        "url = 'hunter2\u0001'",
    ],
)
def test_no_syntax_error_shows_a_password(write: Write, text: str):
    [found] = mistakes(write(f"[primary]\n{text}\n"))
    assert found.startswith("dbproxy.toml:")
    assert "hunter2" not in found


def test_no_unknown_key_shows_a_password(write: Write):
    text = '"postgresql://app:hunter2@h/db" = 1\n[databases."app:hunter2@h"]\nsize = 1\n'
    found = mistakes(write(text))
    assert len(found) == 2
    assert "hunter2" not in "\n".join(found)


SECRETS = ("postgresql://app:hunter2@h/db", "app:hunter2@h", "password=hunter2", "PASSWORD 'hunter2'")


@pytest.mark.parametrize("value", SECRETS)
@pytest.mark.parametrize("key", [key for key, _ in walk_keys()])
def test_no_key_that_is_given_a_url_shows_it(key: str, value: str):
    told = ""
    try:
        load(None, {}, {key: value})
    except ConfigurationError as error:
        told = error.message
    assert "hunter2" not in told


def test_raw_values_are_in_no_repr():
    written = Written()
    written.put(Assignment(("primary", "url"), "postgresql://app:hunter2@h/db", "DATABASE_URL"))
    assert "hunter2" not in repr(written) + repr(Assignment(("a",), "hunter2", "--set"))
    settings = load(None, {"DATABASE_URL": "postgresql://app:hunter2@h/db"})
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.model_dump(mode="json"))
