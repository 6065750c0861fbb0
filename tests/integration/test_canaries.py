"""A secret in any message that a client sends appears in no log, metric, console row, traceback or error of ours.

Each way in has a canary of its own, so that one that has flown tells which cage is open. All is logged that can be:
level debug, every query slow, plans asked for. PostgreSQL's own errors, which its client gets as they are, are its.
What a database and a user are called is no secret.
"""

import contextlib
import json
import secrets
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.routing.plugins import Cluster, Route, Session, Statement
from dbproxy.wire import build
from dbproxy.wire.startup import parse_error_response
from tests.support.blocking_client import TIMEOUT, BlockingClient, Message
from tests.support.hosts import routing
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import (
    COPY_DONE,
    SYNC,
    bind,
    copy_data,
    copy_fail,
    execute,
    function_call,
    parse,
    query,
)
from tests.support.two_servers import open_client

POSTGRESQL = "invalid value for parameter"  # to its client, which has sent the value
SHOWS = (
    "CLIENTS",
    "CONFIG",
    "DATABASES",
    "FEATURES",
    "HOSTS",
    "LISTENS",
    "LIMITS",
    "LIMIT_TIERS",
    "LIMIT_SOURCES",
    "LISTS",
    "PINS",
    "POOLS",
    "PREPARED",
    "RESCUES",
    "ROUTES",
    "SERVERS",
    "SHAPES",
    "STATS",
    "USERS",
    "QUERIES",
    "WAITS",
    "HOLDERS",
    "SOCKETS",
    "ACTIVE_SOCKETS",
    "HOST_POOLS",
    "TOTALS",
    "MEM",
    "STATE",
    "VERSION",
)
PAGES = (
    "/", "/metrics", "/health", "/health/detailed", "/metrics/queries?limit=0", "/metrics/queries?limit=0&format=csv",
    "/metrics/queries?limit=0&format=text", "/limits",
)  # fmt: skip
SETTINGS = {
    "pool.size": 3,
    "log.level": "debug",
    "log.flood_limit": 0,
    "slow_query.threshold": "0s",
    "slow_query.explain": "all",
    "slow_query.limit": 0,
    "pool.refuse_pins": "lock",
    "auth.type": "trust",
    "pool.idle_transaction_timeout": "300ms",
}


class Birds:
    """The canaries, by where they were let in."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def __call__(self, cage: str) -> str:
        bird = f"canary{secrets.token_hex(6)}"
        self.names[bird] = cage
        return bird

    def escaped(self, where: str, text: str) -> list[str]:
        hexed = {bird: bird.encode().hex() for bird in self.names}
        return [
            f"{cage} in {where}: {excerpt(text, bird)}"
            for bird, cage in self.names.items()
            if bird in text or hexed[bird] in text
        ]


def excerpt(text: str, bird: str) -> str:
    at = max(0, text.find(bird))
    return text[max(0, at - 200) : at + 80]


@pytest.fixture
def birds() -> Birds:
    return Birds()


@pytest.fixture
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, SETTINGS) as running:
        yield running


def enter(proxy: Proxy, database: Database, **parameters: str) -> BlockingClient:
    return BlockingClient(proxy.host, proxy.port, **{"user": "app", "database": database.name, **parameters})


def errors_of_ours(answer: list[Message]) -> str:
    """Those that name no file of PostgreSQL's source, and are no words of its own that a login is turned away with."""
    fields = [parse_error_response(payload) for kind, payload in answer if kind in "EN"]
    ours = [error for error in fields if "F" not in error and not error["M"].startswith(POSTGRESQL)]
    return "\n".join(map(str, ours))


def read_to_the_end(client: BlockingClient) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            client.read()


def look(proxy: Proxy, birds: Birds, told: str = "", admin: str = "dbproxy") -> None:
    """Everywhere that operators look."""
    found = birds.escaped("the log", proxy.log()) + birds.escaped("an error of ours", told)
    for path in (*PAGES, *pages_of_statements(proxy)):
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(proxy.http_url + path) as answer,
        ):
            found += birds.escaped(path, answer.read().decode())
    found += birds.escaped("the page's events", read_event(proxy))
    with psycopg.connect(proxy.dsn("dbproxy", admin), autocommit=True) as console:
        for what in SHOWS:
            found += birds.escaped(f"SHOW {what}", str(console.execute(f"SHOW {what}".encode()).fetchall()))
    assert not found, "\n".join(found)


def pages_of_statements(proxy: Proxy) -> list[str]:
    with urllib.request.urlopen(f"{proxy.http_url}/metrics/queries?limit=0") as answer:
        ids = {row["id"] for row in json.load(answer)["queries"]} - {"<other>"}
    return [f"{path}/{statement}" for statement in ids for path in ("/metrics/queries", "/plans")]


def read_event(proxy: Proxy) -> str:
    """All that the page is told at first."""
    with urllib.request.urlopen(f"{proxy.http_url}/events") as stream:
        assert stream.readline() == b"event: whole\n"
        return str(stream.readline().decode())


def statements(bird: Callable[[str], str]) -> list[str]:
    """Texts of all kinds, right and wrong ones."""
    return [
        f"SELECT '{bird('a literal')}' AS a",
        f"SELECT E'\\'{bird('a literal with backslashes')}' AS a",
        f"SELECT $tag${bird('a dollar quoted literal')}$tag$",
        f"SELECT U&'{bird('a Unicode literal')}'",
        f"SELECT 1 /* {bird('a comment')} */ -- {bird('a line comment')}",
        f"SELECT 1 /*password='{bird('a tag that is not known')}'*/",
        f"SELECT 1 /*route='%2F%3Fpassword%3D{bird('a tag that holds a password')}'*/",
        f"SELECT 1 /*request_id='{bird('an address in a tag')}%40example.com'*/",
        f"SET app.key = '{bird('SET')}'",
        f"SET TimeZone = '{bird('a SET that fails')}'",
        f"SELECT set_config('TimeZone', '{bird('a set_config that fails')}', false)",
        f"SET dbproxy.route = '{bird('a SET of ours that fails')}'",
        f"SELECT set_config('dbproxy.route', '{bird('ours by set_config')}', false)",
        f"SELECT set_config('dbproxy.' || 'consistency', '{bird('ours, unseen')}', false)",
        f"CREATE ROLE nobody LOGIN PASSWORD '{bird('CREATE ROLE')}'",
        f"ALTER ROLE app_trust PASSWORD {bird('ALTER ROLE without quotes')}",
        f"ALTER ROLE app_trust PASSWORD E'{bird('ALTER ROLE')}\\'",
        f"CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'a', password '{bird('a user mapping')}')",
        f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={bird('a subscription')}' PUBLICATION p",
        f"DO $$ BEGIN RAISE EXCEPTION '{bird('an error of DO')}' USING DETAIL = '{bird('its detail')}'; END $$",
        f"DO $$ BEGIN RAISE WARNING '{bird('a warning')}'; END $$",
        f"INSERT INTO cages VALUES ('{bird('a row')}')",
        f"INSERT INTO cages SELECT name FROM cages WHERE name <> '{bird('a unique violation')}'",
        f"SELECT * FROM cages WHERE name = '{bird('a condition')}' AND name <> 'x\n{bird('its second line')}'",
        f"SELECT pg_advisory_lock(hashtext('{bird('a pin that is refused')}'))",
        f"PREPARE p AS SELECT '{bird('PREPARE')}'",
        f"EXECUTE p('{bird('EXECUTE')}')",
        f"SELECT '{bird('a syntax error')}' FROM FROM",
        f"NOTIFY cages, '{bird('NOTIFY')}'",
        f"SELECT '{bird('of several statements')}'; SELECT 1 / 0",
        f"SELECT pg_notify('cages', '{bird('pg_notify')}')",
        f"SELECT currval('{bird('currval')}')",
        f"SET app.key = {bird('SET without quotes')}",
        f"SET LOCAL app.key TO {bird('SET LOCAL without quotes')}; SELECT 1",
        f"ALTER ROLE app_trust SET app.key = {bird('ALTER ROLE SET without quotes')}",
        f"SELECT $1$$ {bird('dollars behind a parameter')} $$",
        f"SELECT N'{bird('a national literal')}', B'{bird('a bit literal')}', X'{bird('a hex literal')}'",
        f"SELECT 'a'\n-- it's\n'{bird('a continued literal')}'",
        f"DO LANGUAGE plpgsql '{bird('DO in quotes')}'",
        f"COMMENT ON TABLE cages IS '{bird('COMMENT')}'",
        f"EXPLAIN (ANALYZE) SELECT '{bird('EXPLAIN ANALYZE')}'",
        f"DECLARE {'c'} CURSOR WITH HOLD FOR SELECT '{bird('DECLARE')}'",
        f"SELECT '{bird('no end')}",
        f"SELECT /* {bird('a comment without end')}",
        f'SELECT "a", \'{bird("behind a name")}\' AS "no end',
        f"COPY cages FROM PROGRAM 'echo {bird('COPY FROM PROGRAM')}'",
    ]


@pytest.fixture(autouse=True)
def cages(module_database: Database) -> None:
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        direct.execute("CREATE TABLE IF NOT EXISTS cages (name text UNIQUE)")


def test_texts_of_all_kinds(proxy: Proxy, module_database: Database, birds: Birds):
    told = ""
    with enter(proxy, module_database) as client:
        for text in statements(birds):
            told += errors_of_ours(client.ask(query(text)))
        look(proxy, birds, told)
    with enter(proxy, module_database) as client:
        for text in statements(birds):
            told += errors_of_ours(client.ask(parse("", text), bind(), execute(), SYNC))
        look(proxy, birds, told)
    with enter(proxy, module_database) as client:
        for number, text in enumerate(statements(birds)):
            told += errors_of_ours(client.ask(parse(f"s{number}", text), SYNC))
            told += errors_of_ours(client.ask(bind(f"s{number}"), execute(), SYNC))
        look(proxy, birds, told)
    events = [line["event"] for line in proxy.log_lines()]
    assert events.count("slow query") > len(statements(birds))  # else the canaries were never near
    assert {"request refused", "slow query plan"} <= set(events)


def bind_binary(value: bytes) -> bytes:
    body = b"\0\0" + struct.pack("!hhhi", 1, 1, 1, len(value)) + value + b"\0\0"
    return b"B" + struct.pack("!i", 4 + len(body)) + body


def test_values_of_parameters_of_copy_and_of_function_calls(
    proxy: Proxy, module_database: Database, birds: Birds
):
    told = ""
    with enter(proxy, module_database) as client:
        text = "SELECT * FROM cages WHERE name = $1::text"
        told += errors_of_ours(
            client.ask(parse("", text), bind("", birds("a text parameter")), execute(), SYNC)
        )
        told += errors_of_ours(
            client.ask(parse("", text), bind_binary(birds("a binary parameter").encode()), execute(), SYNC)
        )
        told += errors_of_ours(
            client.ask(
                parse("", "SELECT $1::int"), bind("", birds("a parameter that fails")), execute(), SYNC
            )
        )
        told += errors_of_ours(
            client.ask(
                parse("", "SELECT set_config('dbproxy.route', $1, false)"),
                bind("", birds("ours, bound")),
                execute(),
                SYNC,
            )
        )
        client.send(query("COPY cages FROM STDIN"))
        while client.read()[0] != "G":
            continue
        told += errors_of_ours(client.ask(copy_data(f"{birds('COPY')}\n".encode()), COPY_DONE))
        client.send(query("COPY cages FROM STDIN"))
        while client.read()[0] != "G":
            continue
        told += errors_of_ours(client.ask(copy_fail(birds("CopyFail"))))
        length = 1317  # pg_catalog.length(text)
        told += errors_of_ours(client.ask(function_call(length, birds("a function call").encode())))
        look(proxy, birds, told)


def knock(proxy: Proxy, parameters: dict[str, str]) -> tuple[socket.socket, list[Message]]:
    """Log in, or be turned away: the connection, and what it was told."""
    line = socket.create_connection((proxy.host, proxy.port), timeout=TIMEOUT)
    line.sendall(build.startup_message(parameters))
    stream = line.makefile("rb")
    told: list[Message] = []
    while header := stream.read(5):
        told.append((chr(header[0]), stream.read(int.from_bytes(header[1:], "big") - 4)))
        if told[-1][0] == "Z":
            break
    return line, told


def test_what_is_asked_for_at_login(proxy: Proxy, module_database: Database, birds: Birds):
    for parameters in (
        {"application_name": f"app password={birds('application_name')}"},
        {"application_name": f"{birds('an address as application_name')}@example.com"},
        {"options": f"-c app.key={birds('options')}"},
        {"app.key": birds("a setting")},
        {"TimeZone": birds("a setting that fails")},
        {"dbproxy.route": birds("a setting of ours that fails")},
        {"replication": birds("replication")},
        {"_pq_.nonsense": birds("an option of the protocol")},
    ):
        line, told = knock(proxy, {"user": "app", "database": module_database.name, **parameters})
        with line:
            line.sendall(query("SELECT 1"))
            look(proxy, birds, errors_of_ours(told))


def test_passwords(module_database: Database, birds: Birds):
    for method in ("scram-sha-256", "md5"):
        with serving(module_database, {**SETTINGS, "auth.type": method}) as proxy:
            with pytest.raises(psycopg.OperationalError) as raised:
                psycopg.connect(proxy.dsn(password=birds(f"a wrong password, {method}")))
            assert not birds.escaped("an error of ours", str(raised.value))
            assert not birds.escaped("the log", proxy.log())


def test_texts_of_clients_that_are_cut_off(proxy: Proxy, module_database: Database, birds: Birds):
    """In a request, in a transaction, amid a message, and by garbage."""
    with enter(proxy, module_database) as client:
        client.send(query(f"SELECT pg_sleep(5), '{birds('a query that is left')}'"))
    with enter(proxy, module_database) as client:
        client.ask(query(f"BEGIN; SELECT '{birds('a transaction that idles')}'"))
        read_to_the_end(client)
    with enter(proxy, module_database) as client:
        client.send(query(f"SELECT '{birds('half a message')}'")[:-3])
    with enter(proxy, module_database) as client:
        client.send(b"?" + birds("garbage").encode())
        read_to_the_end(client)
    with enter(proxy, module_database) as client:
        client.send(b"B" + struct.pack("!i", 60) + birds("a malformed Bind").encode() * 3)
        client.send(SYNC)
    look(proxy, birds)


def test_what_waits_for_a_server_and_gets_none(module_database: Database, birds: Birds):
    settings = {**SETTINGS, "pool.size": 1, "pool.reserve_size": 0, "pool.query_wait_timeout": "100ms",
                "pool.idle_transaction_timeout": 0}  # fmt: skip
    with serving(module_database, settings) as proxy, enter(proxy, module_database) as holder:
        holder.ask(query("BEGIN"))
        with enter(proxy, module_database) as client:
            told = errors_of_ours(client.ask(query(f"SELECT '{birds('a query that waits')}'")))
            text = f"SELECT $1::text, '{birds('a Parse that waits')}'"
            told += errors_of_ours(
                client.ask(parse("", text), bind("", birds("a Bind that waits")), execute(), SYNC)
            )
            assert "query_wait_timeout" in told
            look(proxy, birds, told)


def test_api_key_that_is_limited(module_database: Database, birds: Birds):
    """Of which the client is told no more than others."""
    config = "[limits]\nmode = 'on'\ntier = 'free'\ntrust = ['*']\n[[limits.rules]]\nkey = '{setting.app.api_key}'\n"
    settings = {name: value for name, value in SETTINGS.items() if name != "slow_query.explain"}
    with serving(module_database, settings, config=config) as proxy:
        key, told = birds("an API key"), ""
        with psycopg.connect(proxy.dsn(), autocommit=True, options=f"-c app.api_key={key}") as client:
            for _ in range(20):
                try:
                    client.execute("SELECT 1")
                except psycopg.errors.ConfigurationLimitExceeded as error:
                    told += f"{error} {error.diag.message_detail} {error.diag.message_hint}"
            with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
                console.execute(f"SET LIMIT app.api_key '{key}' = '5/s' FOR '1h'".encode())
        assert "rate limit exceeded for app.api_key" in told
        look(proxy, birds, told, "app")


def test_console_commands(proxy: Proxy, birds: Birds):
    told = ""
    with psycopg.connect(proxy.dsn("dbproxy", "dbproxy"), autocommit=True) as console:
        for command in (
            f"CREATE ROLE r PASSWORD '{birds('a command that is none')}'",
            f"SET log.level = '{birds('a bad value')}'",
            f"SET auth.password = '{birds('a setting that is none')}'",
            f"EXPLAIN ROUTE SELECT '{birds('EXPLAIN ROUTE')}'",
            f"SHOW password = {birds('a SHOW that is none')}",
        ):
            try:
                told += str(console.execute(command.encode()).fetchall())
            except psycopg.Error as error:
                told += str(error)
    look(proxy, birds, told)


def route(statement: Statement, session: Session, cluster: Cluster) -> Route | None:
    """A plugin that fails, and quotes what it was given."""
    if "app.key" in session.settings:
        raise ValueError(f"no route for {session.settings['app.key']!r}")
    return None


def test_errors_of_a_plugin(hosts: list[Postgres], birds: Birds):
    with routing(hosts, {**SETTINGS, "routing.plugin": f"{__name__}:route"}) as proxy:
        with open_client(proxy.dsn()) as client:
            client.execute(f"SET app.key = '{birds('a setting that a plugin quotes')}'")
            for _ in range(100):  # the first may go where the session is still asked what the SET has left
                client.execute("SELECT count(*) FROM items")
                if "plugin switched off" in proxy.log():
                    break
        assert "ValueError: no route for ***" in proxy.log()
        look(proxy, birds, admin="app")
