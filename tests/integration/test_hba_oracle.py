"""Our reading of pg_hba.conf and pg_ident.conf against PostgreSQL's own: its views, and what it asks clients for."""

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbproxy.auth.hba import NOT_SERVED, Caller, Wanted, find_rule, parse_rules, refuse
from dbproxy.auth.ident import parse_maps
from dbproxy.auth.lines import Source
from dbproxy.auth.query import ROLES
from dbproxy.demo.installation import account
from dbproxy.demo.postgres import Postgres, create_primary
from dbproxy.errors import ConfigurationError
from dbproxy.net.interfaces import list_interfaces
from dbproxy.wire import build, startup
from dbproxy.wire.codes import Backend
from tests.support.postgres import connect

ASKED = {0: "trust", 3: "password", 5: "md5", 10: "scram-sha-256"}
# Line by line: each is for a database of its own, so that all can stand in one file.
RULES = r"""
host      all        postgres       127.0.0.1/32      scram-sha-256
host      plain1     all            127.0.0.1/32      password
host      plain1     all            127.0.0.0/8       reject
hostssl   ssl        all            all               trust
hostnossl ssl        all            all               password
hostgssenc gss       all            all               trust
hostnogssenc gss     all            all               reject
local     plain1     all                              trust
host      users      alice,"bob"    all               trust
host      users      +staff         all               password
host      users      /^c.*l$        all               md5
host      users      "+staff"       all               trust
host      users      @admins        all               scram-sha-256
host      sameuser   alice          all               password
host      "sameuser" all            all               trust
host      samerole   dave           all               password
host      samegroup  erin           all               md5
host      /^re[0-9]+$ all           all               password
host      "/^r,e$"   all            all               trust
host      /^[[:alpha:]]+_x$ all     all               scram-sha-256
host      masks      all            127.0.0.4 255.0.0.6  password
host      masks      all            samehost          trust
host      nets       all            samenet           password
host      short      all            127.1/32          password
host      names      all            localhost         password
host      names      all            .localdomain      trust
host      "all"      all            all               password
host      v6         all            ::1/128           password
host      v6         all            0.0.0.0/0         trust
host      replication all           127.0.0.1/32      password
host      quoted     "all"          all               password
host      quoted     all            "127.0.0.2/32"    reject
host      quoted     all            "all"             password
host      list,of    alice, bob     all               password   # a comment
host      cont,\
inued     all        all            password
include   more.conf
include_if_exists nowhere.conf
include_dir parts
"""
FILES = {
    "admins": "frank, # one\ngina @admins2\n",
    "admins2": '"henry"\n',
    "more.conf": "host more all all password\n",
    "parts/b.conf": "host parts all all password\n",
    "parts/a.conf": "host parts alice all reject\n",
    "parts/c.txt": "host parts bob all trust\n",
}
ROLE_NAMES = (
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "gina",
    "henry",
    "ian",
    "all",
    "samegroup",
    "erin_x",
)
# (user, database, address it comes from; empty for the Unix socket)
CALLERS = [
    *[("alice", "plain1", address) for address in ("127.0.0.1", "127.0.0.2", "")],
    ("alice", "ssl", "127.0.0.1"),
    ("alice", "gss", "127.0.0.1"),
    *[(user, "users", "127.0.0.1") for user in (*ROLE_NAMES, "nobody")],
    *[(user, user, "127.0.0.1") for user in ("alice", "bob", "dave", "erin")],
    ("alice", "sameuser", "127.0.0.1"),
    *[("dave", group, "127.0.0.1") for group in ("staff", "all_staff", "others")],
    *[("erin", group, "127.0.0.1") for group in ("staff", "all_staff", "others")],
    *[("alice", name, "127.0.0.1") for name in ("re1", "re", "re12", "re1x", "r,e", "ab_x", "a1_x")],
    *[("alice", "masks", address) for address in ("127.0.0.1", "127.0.0.4", "127.9.9.5", "127.9.9.2")],
    *[("alice", "nets", address) for address in ("127.0.0.1", "127.8.8.8")],
    *[
        ("alice", name, "127.0.0.1")
        for name in ("short", "names", "all", "v6", "quoted", "list", "of", "more", "missing")
    ],
    *[("alice", name, "::1") for name in ("v6", "short", "plain1")],
    *[("all", "quoted", address) for address in ("127.0.0.1", "127.0.0.2")],
    *[(user, "list", "127.0.0.1") for user in ("bob", "carol")],
    *[("alice", name, "127.0.0.1") for name in ("cont", "inued")],
    *[(user, "parts", "127.0.0.1") for user in ("alice", "bob")],
]


@dataclass
class Oracle:
    """A server of its own, whose files are written and judged."""

    server: Postgres

    def write(self, name: str, text: str) -> Path:
        path = self.server.data_dir / name
        path.parent.mkdir(exist_ok=True)
        account().own(path.parent)
        path.write_text(text)
        account().own(path)
        return path


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with create_primary(settings={"listen_addresses": "127.0.0.1,::1"}) as server:
        with connect(server) as connection:
            for role in ROLE_NAMES:
                connection.execute(f"CREATE USER \"{role}\" PASSWORD 'secret'")
            connection.execute("SET password_encryption = md5")
            connection.execute("ALTER USER carol PASSWORD 'secret'")
            connection.execute("CREATE ROLE staff; CREATE ROLE all_staff; CREATE ROLE others")
            connection.execute(
                "GRANT staff TO dave, ian; GRANT all_staff TO staff; GRANT staff TO erin WITH INHERIT FALSE"
            )
        made = Oracle(server)
        usual = (server.data_dir / "pg_hba.conf").read_text()
        for name, text in FILES.items():
            made.write(name, text)
        made.write("pg_hba.conf", RULES)
        server.reload()
        wait_for_rules(server)
        yield made
        made.write("pg_hba.conf", usual)


def wait_for_rules(server: Postgres) -> None:
    for _ in range(1000):
        if ask(server, "alice", "more", "127.0.0.1") == "password":
            return
    raise AssertionError("the server does not read its pg_hba.conf again")


def ask(server: Postgres, user: str, database: str, address: str, *, replication: bool = False) -> str:
    """How the server asks for a password, or why it refuses."""
    parameters = {"user": user, "database": database} | ({"replication": "true"} if replication else {})
    with reach(server, address) as line:
        line.sendall(build.startup_message(parameters))
        stream = line.makefile("rb")
        kind, size = stream.read(1)[0], int.from_bytes(stream.read(4), "big")
        payload = stream.read(size - 4)
    if kind == Backend.ERROR_RESPONSE:
        fields = startup.parse_error_response(payload)
        return f"{fields['C']} {fields['M']}"
    return ASKED[int.from_bytes(payload[:4], "big")]


def reach(server: Postgres, address: str) -> socket.socket:
    if not address:
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(server.socket_dir / f".s.PGSQL.{server.port}"))
        return line
    there = "::1" if ":" in address else "127.0.0.1"
    return socket.create_connection((there, server.port), timeout=10, source_address=(address, 0))


def decide(oracle: Oracle, caller: Caller) -> str:
    """As `ask`, by our own reading of the same file."""
    rules = parse_rules(Source("pg_hba.conf", oracle.server.data_dir, RULES))
    with connect(oracle.server) as connection:
        roles = {row[0] for row in connection.execute(ROLES.replace("$1", "%s"), [caller.user]).fetchall()}
    facts = {"roles": frozenset(roles), "host_name": "localhost", "own": tuple(list_interfaces())}
    known = Caller(caller.user, caller.database, caller.address, replication=caller.replication, **facts)  # type: ignore[arg-type]
    rule = find_rule(rules, known)
    assert not isinstance(rule, Wanted)
    if rule is None or rule.method == "reject":
        error = refuse(rule, known)
        return f"{error.sqlstate} {error.message}"
    # md5 asks by SCRAM whoever has such a password, or is not there.
    return "scram-sha-256" if rule.method == "md5" and caller.user != "carol" else rule.method


@pytest.mark.parametrize(("user", "database", "address"), CALLERS)
def test_same_line_decides(oracle: Oracle, user: str, database: str, address: str) -> None:
    told = ask(oracle.server, user, database, address)
    if told.startswith(("3D000", f'28000 role "{user}" does not exist')):
        told = "trust"  # let in, and then there is no such database or role
    assert decide(oracle, Caller(user, database, address)) == told


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_same_line_decides_of_replication(oracle: Oracle, address: str) -> None:
    told = ask(oracle.server, "alice", "", address, replication=True)
    assert decide(oracle, Caller("alice", "", address, replication=True)) == told


# --- reading ---

WORDS = st.sampled_from(
    [
        "all",
        "replication",
        "sameuser",
        "samerole",
        "+staff",
        "alice",
        '"all"',
        '"a b"',
        'x"y"',
        '""',
        "/^a",
        "/(",
        '"/a,b"',
        "a#b",
    ]
)
NETS = st.sampled_from(
    """all|samehost|samenet|10.0.0.0/8|10.0.0.0/33|10.0.0.0/|10.0.0.0|10.0.0.0 255.0.0.0|10.0.0.0 ::1|::1/128|::1/129
    |::1 ffff::|host.example|.example|host.example/8|"all"|10.0.0.0,10.1.0.0|1.2.3.4 x""".replace(
        "\n    ", ""
    ).split("|")
)
OPTIONS = st.sampled_from(
    """||map=x|clientcert=verify-ca|clientcert=verify-full|clientcert=0|clientname=DN|clientname=X|map|nope=1|"map=x"
    |map=x clientname=CN""".replace("\n    ", "").split("|")
)
KINDS = st.sampled_from(
    ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc", "hosts", "host,local", '"host"']
)
METHODS = st.sampled_from(
    ["trust", "reject", "scram-sha-256", "md5", "password", "cert", "peer", "ident", "nope", "trust,md5"]
)
LISTS = st.lists(WORDS, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([",", ", ", " ,", ",,"]).map(lambda comma: comma.join(words))
)
LINES = st.one_of(
    st.tuples(KINDS, LISTS, LISTS, NETS, METHODS, OPTIONS).map(" ".join),
    st.tuples(st.just("local"), LISTS, LISTS, METHODS, OPTIONS).map("\t".join),
    st.tuples(KINDS, LISTS, LISTS).map(" ".join),
    st.text(st.sampled_from('host al,"#/+.1:=\\ \t'), max_size=30),
)


def without(text: str) -> str:
    """As one line that continues no other, and asks for no file."""
    return "" if re.match(r"\s*,*@|.*@|\s*\"*include", text) else text.rstrip("\\ \t")


def judge(line: str) -> tuple[list[str], list[str], str] | str | None:
    """Databases, users and method; what is wrong; None if the line is empty."""
    try:
        rules = parse_rules(Source("pg_hba.conf", Path(), line))
    except ConfigurationError as error:
        return error.message.removeprefix("pg_hba.conf:1: ")
    if not rules:
        return None
    (rule,) = rules
    return [token.text for token in rule.databases], [token.text for token in rule.users], rule.method


@settings(max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES.map(without), min_size=20, max_size=60))
def test_lines_are_read_as_postgresql_reads_them(oracle: Oracle, lines: Sequence[str]) -> None:
    oracle.write(
        "pg_hba.conf", "\n".join(["local all postgres trust", "host all postgres all trust", *lines])
    )
    try:
        with connect(oracle.server) as connection:
            rows = connection.execute(
                "SELECT line_number, database, user_name, auth_method, error FROM pg_hba_file_rules"
            ).fetchall()
    finally:
        oracle.write("pg_hba.conf", RULES)
    theirs = {row[0]: row[4] or row[1:4] for row in rows}
    for number, line in enumerate(lines, 3):
        compare(line, theirs.get(number), judge(line))


def compare(line: str, theirs: object, ours: object) -> None:
    if isinstance(theirs, str):
        # Ours may say another of several mistakes; that TLS is missing is no mistake of the line.
        assert (
            isinstance(ours, str)
            or "SSL" in theirs
            or "ssl" in theirs
            or "GSSAPI" in theirs
            or "not supported by this build" in theirs
        ), (
            line,
            theirs,
            ours,
        )
    elif theirs is None:
        assert ours is None, (line, ours)
    else:
        assert isinstance(theirs, tuple)
        if isinstance(ours, str) and theirs[2] in NOT_SERVED:
            assert "is not served" in ours, (line, ours)
        else:
            assert ours == (*(list(part) for part in theirs[:2]), theirs[2]), (line, theirs, ours)


MAPS = r"""people /^(.*)@x$ \1|people a b|people a|people a,b c|people /^x \1|people /( x|people a /(
people "a b" +staff|people a b c|"two words" a all|# none""".replace("\n", "|").split("|")


def test_maps_are_read_as_postgresql_reads_them(oracle: Oracle) -> None:
    oracle.write("pg_ident.conf", "\n".join(MAPS))
    with connect(oracle.server) as connection:
        rows = connection.execute(
            "SELECT line_number, map_name, sys_name, pg_username, error FROM pg_ident_file_mappings"
        ).fetchall()
    theirs = {row[0]: row[4] or row[1:4] for row in rows}
    for number, line in enumerate(MAPS, 1):
        told = theirs.get(number)
        if r"/^x \1" in line:
            continue  # PostgreSQL notices when somebody logs in
        try:
            entries = parse_maps(Source("pg_ident.conf", Path(), line))
        except ConfigurationError:
            assert isinstance(told, str), line
        else:
            found = [(entry.map, entry.system.text, entry.user.text) for entry in entries]
            assert found == ([told] if told is not None else []), line
