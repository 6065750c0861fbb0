"""Where the proxy is asked, and what is made of its answer."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config.sections import HttpSettings
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.jobs.pressure.looks import Pressure
from dbproxy.jobs.pressure.proxy import LONGEST, ProxyLooks, fetch, find_proxy, read_body, read_pressure
from tests.support.certificates import Authority


@pytest.mark.parametrize(
    ("wanted", "http", "url"),
    [
        ("", {}, "http://127.0.0.1:9127/pressure"),
        ("", {"port": 0}, None),
        ("off", {}, None),
        ("", {"host": "0.0.0.0", "token": "x"}, "http://127.0.0.1:9127/pressure"),
        ("", {"host": "::", "token": "x"}, "http://[::1]:9127/pressure"),
        ("http://proxy.internal:9000/", {"port": 0}, "http://proxy.internal:9000/pressure"),
    ],
)
def test_proxy_is_where_the_settings_say(wanted: str, http: dict[str, Any], url: str | None) -> None:
    found = find_proxy(ThrottleSettings(proxy=wanted), HttpSettings(**http))
    assert (found.url if found is not None else None) == url


def test_token_is_sent() -> None:
    found = find_proxy(ThrottleSettings(), HttpSettings(token="correct-horse"))
    assert found is not None
    assert found.headers == {"Authorization": "Bearer correct-horse"}


def test_answer_is_read() -> None:
    answer = {
        "replicas": [{"name": "replica1", "lag_s": 0.5}, {"name": "replica2", "lag_s": None}],
        "utilisation": 85.5, "pool": "app@shop", "waiting": 2, "p95_s": 0.01, "usual_p95_s": None,
        "p99_s": 0.02, "usual_p99_s": 0.03,
    }  # fmt: skip
    lags = [ReplicaLag("replica1", 0.5), ReplicaLag("replica2", None)]
    assert read_pressure(answer) == Pressure(
        replicas=lags, utilisation=85.5, pool="app@shop", waiting=2, p95=0.01, p99=0.02, usual_p99=0.03
    )
    assert read_pressure(answer | {"replicas": None}).replicas is None
    del answer["p99_s"], answer["usual_p99_s"]  # of an older proxy
    assert read_pressure(answer).p99 is None


@pytest.mark.parametrize("answer", [{}, {"replicas": 1}, {"error": "no such page"}])
def test_answer_that_is_none_is_an_error(answer: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_pressure(answer)


# --- how it is asked ---


class Server:
    """Answers by these bytes, whatever is asked, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, Server]]:
    """Where: host and port."""
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}", server


def say(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n".encode() + body


PRESSURE = (
    b'{"replicas": null, "utilisation": 1.5, "pool": "", "waiting": 0, "p95_s": null, "usual_p95_s": null}'
)


async def test_one_request_is_what_a_look_costs() -> None:
    async with answering(say(PRESSURE)) as (where, server):
        found = await ProxyLooks(f"http://{where}/", "correct-horse", "a b&c").look()
    assert found == Pressure(utilisation=1.5)
    (request,) = server.heard
    assert request.decode().split("\r\n") == [
        "GET /pressure?database=a+b%26c HTTP/1.0", f"Host: {where}", "Authorization: Bearer correct-horse", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        say(PRESSURE, "401 Unauthorized"),
        say(PRESSURE[:20]),
        say(b"[]"),
        say(b"{}"),
        say(b"[" * 99999),
        say(PRESSURE.replace(b'"waiting": 0', b'"waiting": Infinity')),
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_answer_that_is_no_good_leaves_the_application_unknown(answer: bytes) -> None:
    async with answering(answer) as (where, server):
        looks = ProxyLooks(f"http://{where}")
        assert (await looks.look(), await looks.look()) == (None, None)
    assert len(server.heard) == 1  # it is left alone for a while


async def test_nobody_who_answers_leaves_the_application_unknown() -> None:
    async with answering(b"") as (where, _):
        pass
    assert await ProxyLooks(f"http://{where}").look() is None


async def test_answer_without_an_end_is_not_read_on() -> None:
    async with answering(say(b" " * (LONGEST + 1))) as (where, _):
        with pytest.raises(ValueError, match="more than"):
            await fetch(f"http://{where}/pressure?", {})


async def test_certificate_of_a_proxy_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    issued, context = authority.issue("127.0.0.1"), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.chain, issued.key)
    async with answering(say(PRESSURE), context) as (where, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await fetch(f"https://{where}/pressure?", {})
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        assert await fetch(f"https://{where}/pressure?", {}) == PRESSURE


def test_status_is_told() -> None:
    with pytest.raises(ValueError, match="503 Service Unavailable"):
        read_body(say(b"", "503 Service Unavailable"))


def test_no_library_for_http_is_imported_by_a_batch() -> None:
    """It would be a seventh of its memory."""
    code = "import sys, dbproxy.app.jobs, dbproxy.jobs.batch.rows; print('aiohttp' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
