"""What reads a text or a message by itself: by the first byte of the input."""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType

from dbproxy.admin import command
from dbproxy.auth import scram
from dbproxy.auth.hba import Caller, find_rule, parse_rules
from dbproxy.auth.ident import parse_maps
from dbproxy.auth.lines import Source
from dbproxy.auth.saslprep import saslprep
from dbproxy.auth.users import Users
from dbproxy.config.units import parse_count, parse_duration, parse_port, parse_size
from dbproxy.config.url import parse_url
from dbproxy.errors import ProxyError
from dbproxy.net.certificate import bind
from dbproxy.observe.context import read_text
from dbproxy.observe.masking import mask_words
from dbproxy.sql import comments, shape, source, tags
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.likeness import fits
from dbproxy.sql.parser import classify, find_calls, find_explainable, find_first_end, find_prepares
from dbproxy.wire import build, extended, reply, startup
from dbproxy.wire.framer import Framer, client_framer, server_framer, stream_framer
from dbproxy.wire.pgoutput import Reader
from tests.fuzz.mutation import mutate
from tests.fuzz.sessions import STARTS, WORK
from tests.support.speech import columns, error, parameter_status, row

Parser = Callable[[bytes], object]
APP = Caller("app", "shop", "10.1.2.3", roles=frozenset({"app"}), host_name="db.test", own=())
NONCE = b"nonce"


def text(read: Callable[[str], object]) -> Parser:
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def read_rules(lines: str) -> object:
    return find_rule(parse_rules(Source("pg_hba.conf", Path("/nowhere"), lines)), APP)


def read_config(value: str) -> None:
    for parse in (parse_count, parse_duration, parse_port, parse_size):
        try:
            parse(value)
        except ValueError:
            continue


def read_opening(data: bytes) -> object:
    startup.payload_length(data[:4].ljust(4, b"\0"))
    opening = startup.parse_startup(data[4:])
    if isinstance(opening, startup.StartupMessage):
        return opening.settings, opening.database, opening.replication, opening.server_parameters()
    return opening


def read_bodies(data: bytes) -> None:
    """As the messages of the extended protocol have them; what is beyond is for PostgreSQL to judge."""
    chunk, end = data, len(data)
    if end < 6:
        return
    whole = chunk[:1] + (end - 1).to_bytes(4, "big") + chunk[5:]
    extended.parse_parts(whole, 0, end)
    extended.target_name(whole, 0, end)
    if extended.bind_name(whole, 0, end) is not None:
        extended.bind_values(whole, 0, end)
        extended.bind_parameters(whole, 0, end)
    extended.statement_text(whole, 0)


def read_replies(data: bytes) -> None:
    for parse in (
        startup.parse_authentication, startup.parse_error_response, startup.parse_parameter_status,
        startup.parse_negotiation, startup.parse_backend_key_data, reply.read_sqlstate, reply.row_values,
    ):  # fmt: skip
        try:
            parse(data)
        except ProxyError:
            continue
    if len(data) >= 5:
        whole = data[:1] + (len(data) - 1).to_bytes(4, "big") + data[5:]
        for read in (lambda: reply.check_reply(whole, 0), lambda: reply.columns_key(b"", whole, 0)):
            try:
                read()
            except ProxyError:
                continue


def read_stream(data: bytes) -> None:
    """As the messages of a replication stream, each in a CopyData."""
    framer, reader = stream_framer(), Reader()
    for mark in framer.feed(data):
        at, chunk = mark >> 8, framer.chunk
        reader.feed(chunk[at + 5 : at + 1 + int.from_bytes(chunk[at + 1 : at + 5], "big")])


def frame(make: Callable[[], Framer]) -> Parser:
    """However it is cut, the same messages are found: those before what is wrong, and the same is wrong."""

    def find(pieces: list[bytes]) -> tuple[list[int], str]:
        framer, kinds = make(), []
        try:
            for piece in pieces:
                kinds += [mark & 255 for mark in framer.feed(piece)]
        except ProxyError as error:
            return [*kinds, *(framer.mark_at(number) & 255 for number in range(framer.count))], error.message
        return kinds, ""

    def compare(data: bytes) -> None:
        whole, crumbs = find([data]), find([data[at : at + 1] for at in range(len(data))])
        assert whole == crumbs, (whole, crumbs)

    return compare


def read_scram(data: bytes) -> None:
    for read in (
        lambda: scram.parse_client_first(data),
        lambda: scram.ClientSide(b"n").receive_challenge(data),
        lambda: scram.ServerSide(
            scram.parse_client_first(b"n,,n=,r=a"), scram.Verifier(b"salt", 1, b"s" * 32, b"k" * 32), NONCE
        ).check(data),
        lambda: scram.ClientSide(b"n").verify(data),
        lambda: scram.parse_verifier(data.decode("utf-8", "surrogateescape")),
    ):  # fmt: skip
        try:
            read()
        except ProxyError:
            continue


def read_sql(data: bytes) -> None:
    known = StatementCache(10)
    found = known.find(data)
    assert known.find(data) is found or found.effects.varies
    shown = shape.shape(data)
    assert shape.shape(shown) == shown
    shape.redact(data)
    pattern = shape.find_pattern(data)
    fits(pattern, data, 0, len(data))


def read_comments(data: bytes) -> None:
    comments.cut_comments(data)
    comments.find_plan_hints(data)
    tags.read_tags(data)
    read_text(data)
    mask_words(data.decode("utf-8", "replace"))


def read_parsed(data: bytes) -> None:
    if classify(data).bare:
        find_calls(data)
    find_explainable(data)
    find_first_end(data)
    find_prepares(data)
    sources = data.decode("utf-8", "replace")
    source.judge_source(sources)
    source.listened_channels(sources)


PARSERS: Mapping[str, Parser] = MappingProxyType({
    "startup": read_opening,
    "bodies": read_bodies,
    "replies": read_replies,
    "client framer": frame(lambda: client_framer(1000)),
    "server framer": frame(server_framer),
    "scram": read_scram,
    "hba": text(read_rules),
    "ident": text(lambda lines: parse_maps(Source("pg_ident.conf", Path("/nowhere"), lines))),
    "userlist": text(lambda lines: Users.parse(lines, "userlist.txt")),
    "saslprep": text(saslprep),
    "conninfo": text(parse_url),
    "units": text(read_config),
    "console": text(lambda query: [command.parse(statement) for statement in command.split(query)]),
    "certificate": bind,
    "sql": read_sql,
    "comments": read_comments,
    "parsed": read_parsed,
    "stream framer": frame(stream_framer),
    "stream": read_stream,
})  # fmt: skip
ALLOWED: Mapping[str, type[Exception]] = {"conninfo": ValueError}  # pydantic makes the mistakes of those

SQL = [message[5:-1] for work in WORK.values() for step in work for message in [step] if message[:1] == b"Q"]
STREAM = b"".join(build.copy_data(b"w" + bytes(24) + message) for message in (
    b"B\0\0\0\0\1\xb0\4@\0\3\4d@k\xf1\x82\0\0\2\xfc", b"R\0\0@\x08public\0t\0d\0\0", b"I\0\0@\x08N\0\1n",
    b"T\0\0\0\1\2\0\0@\x08", b"C\0\0\0\0\0\1\xb0\4@\0\0\0\0\1\xb0\6H\0\3\4d@k\xf1\x82",
)) + build.copy_data(b"k" + bytes(17))  # fmt: skip
EXAMPLES: Mapping[str, list[bytes]] = {
    "startup": list(STARTS.values()),
    "bodies": [step for work in WORK.values() for step in work],
    "replies": [row("1", "x"), error("22012", "no")[5:], parameter_status("a", "b")[5:], columns("a", "b")],
    "client framer": [step for work in WORK.values() for step in work],
    "server framer": [columns("a") + row("1") + error("22012", "no") + parameter_status("a", "b")],
    "scram": [b"n,,n=,r=abc", b"r=nabc,s=c2FsdA==,i=4096", b"c=biws,r=anonce,p=" + b"A" * 43 + b"=", b"v=AAAA"],
    "hba": [b'host all "app",/^a.*$ 10.0.0.0/8 scram-sha-256 clientcert=verify-full # x\nlocal all +x peer map=a\n'
            b"hostssl sameuser,@file all samenet cert \\\n map=b\ninclude_if_exists /nowhere/x\n"],
    "ident": [b'a /^(.*)@x$ \\1\nb "x y" +role\n'],
    "userlist": [b'"app" "secret"\n"b" "md5d41d8cd98f00b204e9800998ecf8427e"\n"c" "SCRAM-SHA-256$1:YQ==$YQ==:YQ=="'],
    "saslprep": ["pässwörd\u00ad\u2168".encode()],
    "conninfo": [b"postgresql+psycopg2://a:b%40@[::1]:5432,h2/db?sslmode=require&options=-c%20a%3Db",
                 b"host=a,b port=1,2 user='x y' password=\\' target_session_attrs=primary", b"jdbc:postgresql://h/d?user=a"],
    "units": [b"10s", b"1.5h", b"64KiB", b"1_000", b"0x10"],
    "console": [b"SHOW CLIENTS; SET a.b = 'c'", b"EXPLAIN ROUTE SELECT 1", b'PAUSE "shop"', b"KILL_CLIENT 1"],
    "certificate": [b"\x30\x82\x01\x0a\x30\x81\xb3\xa0\x03\x02\x01\x02\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"],
    "sql": [*SQL, b"SELECT $a$x$a$, E'\\'', U&\"d\\0061\", 1.5e-3, $1 FROM t WHERE a IN (1, 2, 3) -- c"],
    "comments": [b"/*a='b',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/ S /*+ X(a) */"],
    "parsed": [*SQL, b"EXPLAIN SELECT lastval()", b"/* dbproxy: replica */ SELECT 1", b"DO $$ BEGIN PERFORM 1; END $$"],
    "stream framer": [STREAM],
    "stream": [STREAM],
}  # fmt: skip
NAMES = tuple(PARSERS)


class Parsers:
    def __init__(self) -> None:
        self.seeds = [
            bytes([NAMES.index(name)]) + example
            for name, examples in EXAMPLES.items()
            for example in examples
        ]

    def run(self, data: bytes) -> None:
        name = NAMES[data[0] % len(NAMES)] if data else NAMES[0]
        try:
            PARSERS[name](data[1:])
        except ProxyError:
            pass
        except Exception as failure:
            if not isinstance(failure, ALLOWED.get(name, ())):
                raise

    def mutate(self, data: bytes, random: Random) -> bytes:
        if len(data) < 2 or random.random() < 0.1:
            return random.choice(self.seeds)
        changed = data[1:]
        opening = NAMES[data[0] % len(NAMES)] == "startup"
        if random.random() < 0.5:
            changed = mutate(changed, random, opening=opening)
        else:
            at, other = random.randrange(len(changed)), random.choice(self.seeds)[1:]
            changed = random.choice([
                changed[:at] + changed[at + random.randrange(5) :],
                changed[:at] + random.randbytes(random.randrange(5)) + changed[at:],
                changed[:at] + other[random.randrange(len(other) + 1) :],
                changed[:at] + changed[at : at + 9] * random.choice([2, 3, 50]) + changed[at + 9 :],
            ])  # fmt: skip
        return data[:1] + changed[:10_000]
