"""Conversations by hand, each in the steps in which a client has them: what is said when the answer is there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dbproxy.auth import scram
from dbproxy.auth.md5 import answer_challenge, make_md5_secret
from dbproxy.wire import build
from dbproxy.wire.codes import Startup
from tests.fuzz.mutation import split_stream
from tests.fuzz.server import PASSWORD
from tests.fuzz.world import Plain, World
from tests.support.speech import (
    COPY_DONE,
    FLUSH,
    SYNC,
    TERMINATE,
    bind,
    close,
    close_portal,
    copy_data,
    copy_fail,
    describe,
    describe_portal,
    execute,
    function_call,
    parse,
    query,
)

USER = "app"
STARTS: Mapping[str, bytes] = {
    "plain": build.startup_message({"user": USER, "database": "shop"}),
    "options": build.startup_message(
        {
            "user": USER,
            "database": "shop",
            "options": "-c work_mem=7MB --TimeZone=Asia/Tokyo",
            "application_name": "é",
        }
    ),
    "new": build.startup_message({"user": USER, "database": "shop", "_pq_.x": "1", "dbproxy.mode": "off"}, 2),
    "console": build.startup_message({"user": USER, "database": "dbproxy"}),
    "replication": build.startup_message({"user": USER, "database": "shop", "replication": "database"}),
}
SSL_REQUEST = build.ssl_request()
GSSENC_REQUEST = (8).to_bytes(4, "big") + int(Startup.GSSENC_REQUEST).to_bytes(4, "big")
CANCEL = build.cancel_request((1 << 22) + 1, b"kkkk")

WORK: Mapping[str, Sequence[bytes]] = {
    "simple": [query("SELECT 1"), query("SELECT 1/0; SELECT 2"), query(""), query("SELECT $$x$$ /* a='b' */ -- c")],
    "batch": [
        parse("", "SELECT $1::text") + bind("", "x") + describe_portal() + execute() + SYNC,
        parse("s1", "SELECT 1") + describe("s1") + SYNC,
        bind("s1") + execute(max_rows=1) + bind("s1", portal="p") + execute("p") + close_portal("p") + SYNC,
        parse("s2", "SELECT 1/0") + bind("s2") + execute() + SYNC + close("s1") + FLUSH + SYNC,
    ],
    "transaction": [
        query("BEGIN"), query("SAVEPOINT a; SELECT 1/0"), query("ROLLBACK"),
        parse("", "BEGIN") + bind() + execute() + SYNC, query("SELECT pg_catalog.set_config('a.b', 'c', true)"),
        query("COMMIT AND CHAIN"), query("COMMIT"),
    ],
    "settings": [
        query("SET TimeZone = 'Asia/Tokyo'"), query("SET LOCAL work_mem = '9MB'"), query("RESET ALL"),
        query("SET dbproxy.mode = 'off'"), query("DISCARD ALL"), query("SHOW TimeZone"),
    ],
    "copy": [
        query("COPY t FROM STDIN"), copy_data(b"1\n") * 3 + COPY_DONE, query("COPY t FROM STDIN"), copy_fail("no"),
        query("COPY t TO STDOUT"), parse("", "COPY t FROM STDIN") + bind() + execute() + SYNC,
    ],
    "prepare": [
        query("PREPARE a AS SELECT $1"), query("EXECUTE a(1)"), query("DEALLOCATE a"), query("DEALLOCATE ALL"),
        query("DECLARE c CURSOR WITH HOLD FOR SELECT 1"), query("CREATE TEMP TABLE x (a int)"),
    ],
    "listen": [query("LISTEN news"), query("NOTIFY news, 'x'"), query("UNLISTEN *"), query("BEGIN; LISTEN a; COMMIT")],
    "function": [function_call(177, b"1", b"2"), query("SELECT lastval(), currval('s')")],
    "half": [parse("", "SELECT 1") + bind() + execute(), FLUSH, SYNC, TERMINATE],
    "console": [
        query("SHOW CLIENTS"), query("SHOW POOLS; SHOW STATS"), query("SET log.level = 'info'"), query("PAUSE shop"),
        query("RESUME"), query("KILL shop"), query("EXPLAIN ROUTE SELECT 1"), query("SHOW HELP"), query("RELOAD"),
        parse("", "SHOW LISTS") + bind() + describe_portal() + execute() + SYNC,
    ],
    "replication": [
        query("IDENTIFY_SYSTEM"), query("START_REPLICATION SLOT a LOGICAL 0/0"), copy_data(b"r" + b"\0" * 33),
    ],
}  # fmt: skip


def password(payload: bytes) -> bytes:
    return build.authentication_response(payload)


def prove(auth_type: str) -> list[bytes]:
    """What a client says to show that it knows the password, in the steps of the method."""
    if auth_type == "trust":
        return []
    if auth_type == "password":
        return [password(PASSWORD.encode() + b"\0")]
    if auth_type == "md5":
        return [password(answer_challenge(make_md5_secret(USER, PASSWORD), b"kkkk").encode() + b"\0")]
    side = scram.ClientSide(scram.make_nonce())
    first = side.first()
    initial = password(scram.MECHANISM.encode() + b"\0" + len(first).to_bytes(4, "big") + first)
    return [initial]


class Session(NamedTuple):
    """`auth_type`: how the client logs in. A SCRAM login's second answer depends on the first: it is made by asking."""

    auth_type: str
    steps: list[bytes]


def list_sessions(world: World) -> list[Session]:
    found = []
    for number, (name, work) in enumerate(WORK.items()):
        start = STARTS.get(name) or [STARTS["plain"], STARTS["options"], STARTS["new"]][number % 3]
        found.append(Session("trust", [start, *work]))
    for auth_type in ("password", "md5", "scram-sha-256"):
        steps = [SSL_REQUEST, GSSENC_REQUEST, STARTS["plain"], *prove(auth_type)]
        if auth_type == "scram-sha-256":
            steps.append(finish_scram(world, steps))
        found.append(Session(auth_type, [*steps, query("SELECT 1")]))
    return [*found, Session("trust", [CANCEL])]


def finish_scram(world: World, steps: list[bytes]) -> bytes:
    """The client's last message, to the challenge that these steps bring."""
    client = Plain()
    world.run({"auth.type": "scram-sha-256"}, steps, 0, speaker=client)
    challenge = split_stream(bytes(client.heard[2:]), opening=False)[1]  # ahead of it: N, N, what is offered
    side = scram.ClientSide(scram.make_nonce())
    keys = scram.derive_keys(PASSWORD, *side.receive_challenge(challenge[9:]))
    return password(side.final(keys))
