"""HTTP: what is said to the endpoints on one connection. aiohttp reads it; the handlers and the limits are ours.

The first byte of the header chooses the settings, the second the pieces. The endpoints stay from input to input, as
they do in a proxy; what an input may leave in them is looked at.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from time import monotonic

from dbproxy.admin.door import logger
from dbproxy.admin.http import Endpoints
from dbproxy.app.proxy import Proxy
from dbproxy.net.transport import Transport
from dbproxy.session.startup import Login
from tests.fuzz.house import make_proxy
from tests.fuzz.line import Line
from tests.fuzz.server import Responder
from tests.fuzz.sessions import STARTS, WORK
from tests.fuzz.world import PATIENCE, Failure, Plain, World, open_line, split

HEADER = 2
TOKEN = "token"
VARIANTS: Sequence[Mapping[str, object]] = (
    {"query_stats.enabled": True, "http.detailed_health": True},
    {"query_stats.enabled": True, "http.token": TOKEN},
    {"http.detailed_health": True},
)
ALIVE = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LINGERING = 11.0  # seconds after which nobody waits any more for the rest of a body, or for who looks on
LONGEST = 40_000  # bytes

TARGETS = (
    "/", "/metrics", "/metrics/queries", "/metrics/queries?window=5m&sort=total_us&limit=3", "/health",
    "/metrics/queries?format=csv&role=primary", "/metrics/queries?format=text&min_calls=1&database=shop&user=app",
    "/metrics/queries/0123456789abcdef", "/metrics/queries/reset", "/health/ready", "/health/ready?for=write",
    "/health/detailed", "/events", "/plans/0123456789abcdef", "/nowhere", "*", "http://localhost/health", "//health",
)  # fmt: skip
HEADERS = (
    "Host: localhost", "Host: evil.test", "Host: [::1]:9127", "Authorization: Bearer token", "Cookie: a=b; c=",
    "Authorization: Basic YQ==", "Accept: application/openmetrics-text; version=1.0.0", "Accept-Encoding: gzip",
    "Connection: close", "Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5",
    "Expect: 100-continue", "Content-Length: 99999999999", "Content-Length: -1", "Transfer-Encoding: chunked",
    "Content-Encoding: gzip", "Transfer-Encoding: chunked, chunked", "Origin: http://evil.test", "Range: bytes=0-1",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Sec-Fetch-Site: cross-site",
    "X-HTTP-Method-Override: POST", "If-Modified-Since: x", "Content-Type: multipart/form-data; boundary=a",
    " folded: a", "No colon", ": none", "A : b",
)  # fmt: skip
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PRI",
    "get",
    "M-SEARCH",
    "",
)
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", "ICY", "")
WORDS = (
    "window", "sort", "limit", "min_calls", "role", "user", "database", "format", "for", "1m", "total", "all", "0",
    "-1", "99999999999999999999", "1e9", "\u0663", "%00", "%ff", "%", "%zz", "json", "csv", "text", "write", "read",
    "primary", "a" * 300, "+", "&", "=", ";", "#", "?", "/", "..", "%2e%2e%2f", "'", '"', "<script>", "\u00e9",
    "\ud83d\ude00",
)  # fmt: skip
PIECES = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff\xfe", b" ", b"\t", b":", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"-1\r\n", b"ffffffffffffffff\r\n", b"5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"A: " + b"a" * 9000 + b"\r\n",
    b"A: b\r\n" * 200, b"?" + b"a=b&" * 3000, b"\x16\x03\x01\x02\0\1", b"\x1f\x8b\x08\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip


def write_request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + body


SEEDS = [
    *(write_request("GET", target, HEADERS[0], HEADERS[3]) for target in TARGETS),
    write_request(
        "POST", "/metrics/queries/reset", HEADERS[0], HEADERS[3], "Content-Length: 5", body=b"hello"
    ),
    write_request(
        "POST", "/health", HEADERS[0], "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    ),
    write_request("POST", "/metrics/queries/reset", HEADERS[0], HEADERS[3]) + ALIVE,
    write_request("HEAD", "/metrics", HEADERS[0], HEADERS[3])
    + write_request("GET", "/events", HEADERS[0])
    + ALIVE,
    write_request("GET", "/health", *HEADERS[:2], "Expect: 100-continue", "Content-Length: 3", body=b"abc"),
]


class Records(logging.Handler):
    """What is logged as an error of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record.exc_info[1] if record.exc_info else None)


class Requests:
    def __init__(self, world: World) -> None:
        self.world = world
        self.records = Records()
        self.houses: list[Endpoints] = []
        self.kept: list[Line] = []
        self.seeds = [bytes([which, 0]) + seed for which in range(len(VARIANTS)) for seed in SEEDS]

    @contextmanager
    def started(self) -> Iterator[None]:
        loop = self.world.loop
        logger.addHandler(self.records)
        self.houses = [loop.run_until_complete(self.start(settings)) for settings in VARIANTS]
        try:
            yield
        finally:
            for endpoints in self.houses:
                loop.run_until_complete(endpoints.stop())
            loop.run_until_complete(self.leave())
            logger.removeHandler(self.records)

    async def start(self, settings: Mapping[str, object]) -> Endpoints:
        proxy = make_proxy({**settings, "auth.type": "trust"})
        await self.use(proxy)
        endpoints = Endpoints(proxy, proxy.monitoring.exemplars)
        listening = socket.socket(socket.AF_UNIX)  # nobody comes that way
        listening.bind("")
        await endpoints.start([listening])
        return endpoints

    async def use(self, proxy: Proxy) -> None:
        """There is something to tell: a client has worked, and stays."""
        world = self.world
        world.begin()
        world.make_server = lambda: Responder().answer
        near, world.client = open_line(Plain().hear)
        Transport(near, Login(proxy))
        for step in (STARTS["plain"], *WORK["simple"], *WORK["batch"]):
            world.client.say(step)
            await world.settle()
        self.kept += [world.client, *world.lines]
        world.lines = []

    async def leave(self) -> None:
        for line in (*self.kept, *self.world.lines):
            line.close()
        await self.world.settle()

    # --- one input ---

    def run(self, data: bytes) -> None:
        self.world.loop.run_until_complete(self.ask(data.ljust(HEADER, b"\0")))

    async def ask(self, data: bytes) -> None:
        began, world = monotonic(), self.world
        world.begin()
        self.records.errors.clear()
        endpoints = self.houses[data[0] % len(self.houses)]
        heard = await self.converse(endpoints, data[HEADER:], Random(data[1]))
        if heard and not heard.startswith(b"HTTP/"):
            raise Failure(f"no answer of HTTP: {heard[:100]!r}")
        alive = await self.converse(endpoints, ALIVE, Random(0))
        if not re.match(rb"HTTP/1.1 200 ", alive):
            raise Failure(f"it answers nobody any more: {alive[:100]!r}")
        self.judge(endpoints, monotonic() - began)

    async def converse(self, endpoints: Endpoints, said: bytes, random: Random) -> bytes:
        world, heard = self.world, Plain()
        near, world.client = open_line(heard.hear)
        try:
            await world.loop.connect_accepted_socket(endpoints.door, near)  # type: ignore[arg-type]  # started
            for piece in split(said, random):
                world.client.say(piece)
                await world.settle()
            world.client.hang_up()
            await world.settle()
            world.loop.ahead += LINGERING
            await asyncio.sleep(0)
            await world.settle()
            if not world.client.gone:
                raise Failure("the connection stays")
        finally:
            world.client.close()
        return bytes(heard.heard)

    def judge(self, endpoints: Endpoints, seconds: float) -> None:
        assert endpoints.door is not None
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        left = {
            "errors": self.records.errors,
            "faults": self.world.faults,
            "connections": endpoints.door.server.connections,
            "silent": list(endpoints.door.silent),
            "viewers": endpoints.page.viewers.looking,
            "tasks": [
                task.get_coro() for task in tasks if task.get_name() not in ("page", "health", "pressure")
            ],
            "seconds": seconds if seconds > PATIENCE else 0,
        }
        found = {name: value for name, value in left.items() if value}
        if found:
            raise Failure(str(found)) from next(filter(None, self.records.errors), self.world.cause)

    # --- another ---

    def mutate(self, data: bytes, random: Random) -> bytes:
        data = data.ljust(HEADER, b"\0")
        which = data[0] if random.random() < 0.7 else random.randrange(len(VARIANTS))
        said = data[HEADER:]
        for _ in range(random.choice([1, 1, 2, 4])):
            said = random.choice(CHANGES)(said, random)
        return bytes([which, random.randrange(256)]) + said[:LONGEST]


def change_line(said: bytes, random: Random) -> bytes:
    """Some line is another, is there twice, or is not."""
    lines = said.split(b"\r\n")
    at = random.randrange(len(lines))
    header = random.choice(HEADERS).encode()
    lines[at : at + 1] = random.choice([[], [lines[at]] * 2, [lines[at], header], [header], [header] * 3])
    return b"\r\n".join(lines)


def change_first(said: bytes, random: Random) -> bytes:
    """Method, target or version of the first request."""
    line, end, rest = said.partition(b"\r\n")
    parts = [*line.split(b" "), b"", b""][:3]
    at = random.choice([0, 1, 1, 1, 2])
    parts[at] = random.choice((METHODS, TARGETS, VERSIONS)[at]).encode()
    return b" ".join(parts) + end + rest


def change_query(said: bytes, random: Random) -> bytes:
    """The query string of the first request."""
    line, end, rest = said.partition(b"\r\n")
    parts = [*line.split(b" "), b"", b""][:3]
    path, _, query = parts[1].partition(b"?")
    pairs = [pair for pair in query.split(b"&") if pair]
    if pairs and random.random() < 0.3:
        del pairs[random.randrange(len(pairs))]
    name, value = (random.choice(WORDS).encode("utf-8", "surrogatepass") for _ in range(2))
    if pairs and random.random() < 0.5:
        at = random.randrange(len(pairs))
        pairs[at] = pairs[at].partition(b"=")[0] + b"=" + value
    else:
        pairs.insert(random.randrange(len(pairs) + 1), name + b"=" + value)
    parts[1] = (path or b"/metrics/queries") + b"?" + b"&".join(pairs)
    return b" ".join(parts) + end + rest


def put_in(said: bytes, random: Random) -> bytes:
    at = random.randrange(len(said) + 1)
    return said[:at] + random.choice([*PIECES, random.randbytes(random.randrange(1, 5))]) + said[at:]


def cut(said: bytes, random: Random) -> bytes:
    at = random.randrange(len(said) + 1)
    return said[:at] + random.choice([b"", said[at + random.randrange(1, 9) :]])


def repeat(said: bytes, random: Random) -> bytes:
    """Some of it, or all: more requests than one."""
    at = random.randrange(len(said) + 1)
    return said[:at] + random.choice(
        [said[max(0, at - 9) : at] * random.choice([2, 50, 900]), said * 2, random.choice(SEEDS)]
    )


def change_bytes(said: bytes, random: Random) -> bytes:
    changed = bytearray(said)
    for _ in range(random.choice([1, 1, 2, 8])):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


CHANGES = (
    change_line,
    change_line,
    change_first,
    change_query,
    change_query,
    put_in,
    cut,
    repeat,
    change_bytes,
)
