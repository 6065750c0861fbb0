"""Whoever asks as somebody else, or under other settings, is told what PostgreSQL tells them."""

from collections.abc import Iterator
from itertools import pairwise

import psycopg
import pytest

from tests.support.kept import SETTINGS, Kept
from tests.support.postgres import PASSWORD, Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

Client = psycopg.Connection
SCHEMA = """
    CREATE TABLE rows (id int, owner text, tenant text);
    INSERT INTO rows VALUES (1, 'app', 'a'), (2, 'app_md5', 'b'), (3, 'visitor', 'b'), (4, 'app', 'b');
    ALTER TABLE rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY by_owner ON rows USING (owner = current_user);
    CREATE TABLE tenants (id int, tenant text);
    INSERT INTO tenants VALUES (1, 'a'), (2, 'b'), (3, 'b');
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY by_tenant ON tenants USING (tenant = current_setting('app.tenant', true));
    CREATE SCHEMA shadow;
    CREATE TABLE things (id int);
    CREATE TABLE shadow.things (id int);
    INSERT INTO things VALUES (1); INSERT INTO shadow.things VALUES (2);
    CREATE TABLE told (at timestamptz, day date, bytes bytea, number float8, text text);
    INSERT INTO told VALUES ('2024-02-01 12:00+00', '2024-02-01', '\\xdeadbeef', 1.0 / 3, 'é');
    GRANT USAGE ON SCHEMA shadow TO visitor;
    GRANT SELECT ON ALL TABLES IN SCHEMA public, shadow TO visitor;
"""
BY_OWNER = "SELECT id FROM rows ORDER BY id"
BY_TENANT = "SELECT id FROM tenants ORDER BY id"
THINGS = "SELECT id FROM things"
THIRDS = "SELECT (id / 3.0::float8)::text FROM things"
TOLD = "SELECT * FROM told WHERE day > '01/12/2023'"


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with connect(database.server, database.name) as owner:
        owner.execute("DROP ROLE IF EXISTS visitor")
        owner.execute(f"CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'; GRANT visitor TO app, app_md5")
        owner.execute("SET ROLE app")
        owner.execute(SCHEMA)
    passwords = {"postgres": database.server.password, "visitor": PASSWORD, "app_md5": PASSWORD}
    users = "".join(f'[users.{user}]\npassword = "{password}"\n' for user, password in passwords.items())
    with serving(database, {**SETTINGS, "auth.type": "trust"}, config=users) as running:
        yield running
    with connect(database.server, database.name) as owner:
        owner.execute("DROP OWNED BY visitor; DROP ROLE visitor")


@pytest.fixture
def kept(proxy: Proxy) -> Iterator[Kept]:
    with Kept(proxy) as found:
        yield found


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with enter(proxy.dsn()) as found:
        yield found


@pytest.fixture
def direct(database: Database) -> Iterator[Client]:
    """The same user, past the proxy: what it is told is right."""
    with enter(database.dsn) as found:
        yield found


def enter(dsn: str, **how: object) -> Client:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, **how)  # type: ignore[arg-type]


def ask(client: Client, sql: str) -> object:
    """The rows as they came, in text; or the error."""
    try:
        result = client.execute(sql).pgresult
    except psycopg.Error as error:
        return error.sqlstate
    assert result is not None
    return [[result.get_value(row, at) for at in range(result.nfields)] for row in range(result.ntuples)]


CHANGES: dict[str, tuple[str, tuple[str, ...]]] = {  # what is asked, in between the steps and again
    "SET ROLE": (BY_OWNER, ("SET ROLE visitor", "RESET ROLE", "SET ROLE visitor", "SET ROLE NONE")),
    "SET ROLE in a transaction": (
        BY_OWNER,
        (
            "BEGIN; SET LOCAL ROLE visitor",
            "COMMIT",
            "BEGIN; SET ROLE visitor",
            "COMMIT",
            "BEGIN; RESET ROLE",
            "ROLLBACK",
        ),
    ),
    "role by set_config": (
        BY_OWNER,
        ("SELECT set_config('role', 'visitor', false)", "SELECT set_config('role', 'none', false)"),
    ),
    "app.tenant": (
        BY_TENANT,
        ("SET app.tenant = 'a'", "SET app.tenant = 'b'", "RESET app.tenant", "SET app.tenant TO a"),
    ),
    "app.tenant in a transaction": (
        BY_TENANT,
        (
            "SET app.tenant = 'a'",
            "BEGIN; SET LOCAL app.tenant = 'b'",
            "COMMIT",
            "BEGIN; SET app.tenant = 'b'",
            "ROLLBACK",
            "BEGIN; SET app.tenant = 'b'",
            "COMMIT",
        ),
    ),
    "app.tenant by set_config": (
        BY_TENANT,
        (
            "SELECT set_config('app.tenant', 'a', false)",
            "SELECT set_config('app.tenant', 'b', false)",
            "SELECT set_config('app.' || 'tenant', 'a', false)",
            "DISCARD ALL",
        ),
    ),
    "app.tenant by a function": (
        BY_TENANT,
        (
            "CREATE OR REPLACE FUNCTION become(text) RETURNS text LANGUAGE plpgsql AS"
            " 'BEGIN RETURN set_config(''app.tenant'', $1, false); END'",
            "SELECT become('a')",
            "SELECT become('b')",
            "RESET ALL",
        ),
    ),
    "app.tenant by a function that runs a text": (
        BY_TENANT,
        (
            "CREATE OR REPLACE FUNCTION run(text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; END'",
            "SELECT run('SET app.tenant = a')",
            "SELECT run('SET app.tenant = b')",
        ),
    ),
    "search_path": (
        THINGS,
        ("SET search_path = shadow, public", "RESET search_path", "SET search_path = shadow"),
    ),
    "TimeZone": (
        TOLD,
        ("SET TimeZone = 'Asia/Tokyo'", "SET TIME ZONE 'UTC'", "SET TIME ZONE -3", "RESET TimeZone"),
    ),
    # Pgpool c7aa75cd7, 859ca1734
    "a literal with TimeZone": (
        "SELECT count(*) FROM told WHERE at = '2024-02-01 12:00'",
        ("SET TIME ZONE 'UTC'", "SET TIME ZONE 'Asia/Tokyo'", "RESET TIME ZONE"),
    ),
    "CURRENT_USER": ("SELECT CURRENT_USER, count(*) FROM told", ("SET ROLE visitor", "RESET ROLE")),
    "DateStyle": (TOLD, ("SET DateStyle = 'German, DMY'", "SET DateStyle = 'SQL, MDY'", "RESET DateStyle")),
    "bytea_output": (TOLD, ("SET bytea_output = 'escape'", "RESET bytea_output")),
    "extra_float_digits": (TOLD, ("SET extra_float_digits = -10", "SET extra_float_digits = 3")),
    "client_encoding": (
        TOLD,
        ("SET client_encoding = 'LATIN1'", "SET client_encoding = 'UTF8'", "SET NAMES 'LATIN9'"),
    ),
    "IntervalStyle": (
        "SELECT max(at) - min(at) + interval '3 days' FROM told",
        ("SET IntervalStyle = 'iso_8601'", "RESET IntervalStyle"),
    ),
    "row_security": (BY_OWNER, ("SET row_security = off", "SET row_security = on")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_identity_is_another_answer(
    change: str, kept: Kept, client: Client, direct: Client, proxy: Proxy
):
    sql, steps = CHANGES[change]
    kept.wait(client, sql)
    with enter(proxy.dsn()) as other:
        plain = ask(direct, sql)
        for _ in range(2):
            for step in steps:
                client.execute(step)
                direct.execute(step)
                for _ in range(3):
                    assert ask(client, sql) == ask(direct, sql), step
                assert ask(other, sql) == plain, step
            client.execute("DISCARD ALL")
            direct.execute("DISCARD ALL")


def test_the_changes_do_change_what_is_told(direct: Client, proxy: Proxy):
    """Else the above would prove nothing."""
    for change, (sql, steps) in CHANGES.items():
        told = [ask(direct, sql)]
        for step in steps:
            direct.execute(step)
            told.append(ask(direct, sql))
        direct.execute("DISCARD ALL")
        if change != "row_security":
            assert any(one != other for one, other in pairwise(told)), change


def test_each_user_has_answers_of_its_own(kept: Kept, client: Client, proxy: Proxy, database: Database):
    kept.wait(client, BY_OWNER)
    for user in ("app_md5", "visitor", "app"):
        with (
            enter(proxy.dsn(user=user)) as one,
            enter(database.server.dsn(database.name, user, PASSWORD)) as other,
        ):
            for _ in range(3):
                assert ask(one, BY_OWNER) == ask(other, BY_OWNER)


@pytest.mark.parametrize(
    "options",
    [
        {"options": "-c app.tenant=a"},
        {"options": "-c app.tenant=b"},
        {"options": "-c role=visitor"},
        {"options": "-c search_path=shadow"},
        {"options": "-c TimeZone=Asia/Tokyo -c DateStyle=German"},
        {"client_encoding": "LATIN1"},
        {"options": "-c extra_float_digits=-5", "application_name": "other"},
    ],
)
def test_options_of_a_login_are_part_of_who_asks(
    options: dict[str, str], kept: Kept, client: Client, proxy: Proxy, database: Database
):
    reads = (BY_OWNER, BY_TENANT, THINGS, TOLD)
    for sql in reads:
        kept.wait(client, sql)
    with enter(proxy.dsn(), **options) as one, enter(database.dsn, **options) as other:
        for sql in reads * 2:
            assert ask(one, sql) == ask(other, sql)


def test_settings_that_change_no_answer_share_it(kept: Kept, client: Client, proxy: Proxy):
    kept.wait(client, THINGS)
    with enter(proxy.dsn(), application_name="other", options="-c statement_timeout=12345") as other:
        assert kept.is_hit(other, THINGS)


ALTERED: dict[str, tuple[str, str]] = {  # as the superuser, and what the visitor asks
    "REVOKE": (THINGS, "REVOKE SELECT ON things FROM visitor"),
    "REVOKE of a schema": ("SELECT id FROM shadow.things", "REVOKE USAGE ON SCHEMA shadow FROM visitor"),
    "BYPASSRLS": (BY_OWNER, "ALTER ROLE visitor BYPASSRLS"),
    "ALTER POLICY": (BY_OWNER, "ALTER POLICY by_owner ON rows USING (id = 4)"),
    "another policy": (BY_OWNER, "CREATE POLICY more ON rows FOR SELECT USING (id = 1)"),
    "no row security": (BY_OWNER, "ALTER TABLE rows DISABLE ROW LEVEL SECURITY"),
    "a relation that shadows another": (
        THINGS,
        "ALTER TABLE things SET SCHEMA shadow2; CREATE VIEW things AS SELECT 7 AS id;"
        " GRANT SELECT ON things TO visitor",
    ),
}


@pytest.mark.parametrize("change", ALTERED)
@pytest.mark.parametrize("through", ["the proxy", "psql"])
def test_what_is_altered_is_another_answer(
    change: str, through: str, kept: Kept, proxy: Proxy, database: Database
):
    """At once if it goes through the proxy; else as soon as that has looked, which it does every 2 seconds."""
    sql, statement = ALTERED[change]
    superuser = database.server.dsn(database.name)
    with enter(superuser) as owner, enter(proxy.dsn(user="visitor")) as client:
        owner.execute("CREATE SCHEMA shadow2")
        before = kept.wait(client, sql)
        dsn = proxy.dsn(user="postgres", password="") if through == "the proxy" else superuser
        with enter(dsn) as other:
            other.execute(statement)
        with enter(database.server.dsn(database.name, "visitor", PASSWORD)) as direct:
            expected = ask(direct, sql)
        assert expected != [[str(value).encode() for value in row] for row in before]
        if through == "psql":
            kept.until(lambda: ask(client, sql) == expected)
        for _ in range(3):
            assert ask(client, sql) == expected


def test_superuser_who_becomes_another(kept: Kept, proxy: Proxy, database: Database):
    superuser = database.server.dsn(database.name)
    steps = (
        "SET SESSION AUTHORIZATION visitor",
        "RESET SESSION AUTHORIZATION",
        "SET ROLE app",
        "SET SESSION AUTHORIZATION app",
        "RESET ROLE",
    )
    with enter(proxy.dsn(user="postgres", password="")) as client, enter(superuser) as direct:
        kept.wait(client, BY_OWNER)
        for step in steps:
            client.execute(step)
            direct.execute(step)
            for _ in range(3):
                assert ask(client, BY_OWNER) == ask(direct, BY_OWNER), step


@pytest.mark.parametrize(
    "alter",
    [
        "ALTER ROLE visitor SET app.tenant = 'b'",
        "ALTER ROLE visitor SET search_path = shadow",
        "ALTER DATABASE {} SET app.tenant = 'b'",
        "ALTER ROLE visitor IN DATABASE {} SET TimeZone = 'Asia/Tokyo'",
    ],
)
def test_defaults_that_are_altered_hold_for_later_logins(
    alter: str, kept: Kept, proxy: Proxy, database: Database
):
    reads = (BY_TENANT, THINGS, TOLD)
    with (
        enter(proxy.dsn(user="visitor")) as early,
        enter(database.server.dsn(database.name, "visitor", PASSWORD)) as direct,
    ):
        for sql in reads:
            kept.wait(early, sql)
        with enter(database.server.dsn(database.name)) as owner:
            owner.execute(alter.format(database.name))
        with (
            enter(proxy.dsn(user="visitor")) as late,
            enter(database.server.dsn(database.name, "visitor", PASSWORD)) as other,
        ):
            for sql in reads * 3:
                assert ask(late, sql) == ask(other, sql)
                assert ask(early, sql) == ask(direct, sql)


def test_who_is_told_apart_by_the_name_of_its_application_is_asked_for_alone(
    proxy: Proxy, kept: Kept, database: Database, client: Client
):
    """Settings that change no answer are no part of who asks; so what asks for one of them is not kept."""
    by_name = "SELECT id FROM named ORDER BY id"
    with enter(database.dsn) as owner:
        owner.execute(
            "CREATE TABLE named (id int, name text); INSERT INTO named VALUES (1, 'one'), (2, 'two')"
        )
        owner.execute("ALTER TABLE named ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY p ON named USING (name = current_setting('application_name'))")
    kept.until(lambda: "setting" in kept.explain(by_name) or kept.is_hit(client, by_name))
    with enter(proxy.dsn(), application_name="one") as one, enter(proxy.dsn(), application_name="two") as two:
        for _ in range(3):
            assert (ask(one, by_name), ask(two, by_name)) == ([[b"1"]], [[b"2"]])


def test_what_the_configuration_file_gives_from_now_on_counts(
    kept: Kept, client: Client, direct: Client, database: Database
):
    with enter(database.server.dsn(database.name)) as owner:
        before = kept.wait(client, THIRDS, ")::text from things")
        try:
            owner.execute("ALTER SYSTEM SET extra_float_digits = -5")
            owner.execute("SELECT pg_reload_conf()")
            kept.until(lambda: ask(direct, THIRDS) != [[before[0][0].encode()]])
            kept.until(lambda: ask(client, THIRDS) == ask(direct, THIRDS))
        finally:
            owner.execute("ALTER SYSTEM RESET extra_float_digits")
            owner.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO events VALUES (1)", "INSERT INTO marked (id) VALUES (1)", "SELECT * FROM setting"],
    ids=["a trigger", "a default", "a view"],
)
def test_nobody_is_told_what_another_was_under_a_setting_that_was_made_unseen(
    statement: str, proxy: Proxy, kept: Kept, database: Database
):
    with enter(database.dsn) as owner:
        owner.execute("""
            CREATE TABLE events (id int);
            CREATE FUNCTION be_a() RETURNS text LANGUAGE plpgsql AS
                'BEGIN RETURN set_config(''app.tenant'', ''a'', false); END';
            CREATE FUNCTION be_a_too() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM be_a(); RETURN NEW; END';
            CREATE TRIGGER be_a BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION be_a_too();
            CREATE TABLE marked (id int, by text DEFAULT be_a());
            CREATE VIEW setting AS SELECT be_a();
        """)
    with enter(proxy.dsn()) as one, enter(proxy.dsn()) as other:
        kept.until(lambda: "can be kept" in kept.explain(BY_TENANT))
        one.execute(statement.encode())
        for _ in range(3):
            ask(one, BY_TENANT)
            assert ask(other, BY_TENANT) == []
