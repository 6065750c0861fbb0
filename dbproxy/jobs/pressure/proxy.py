"""What the proxy tells of the application: one request for each look.

A request of HTTP/1.0 is all that this needs: a library for it would be a seventh of a job's own memory.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config.sections import HttpSettings
from dbproxy.config.throttle import OFF, ThrottleSettings
from dbproxy.jobs.pressure.looks import Pressure

log = structlog.get_logger(__name__)

TIMEOUT = 1.0  # seconds
LONGEST = 1 << 20  # bytes of an answer
RETRY = 5.0  # seconds until one that did not answer is asked again
# What no answer, or none that makes sense, is told by; a TimeoutError is an OSError.
NONE = (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError)
EVERYWHERE = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # not bound to


class ProxyLooks:
    """Of the proxy at `url`; `database` is the one whose server the job works on, "" for all.

    While it does not answer nothing is known of the application, which is told once.
    """

    def __init__(self, url: str, token: str = "", database: str = "") -> None:
        self.url = f"{url.rstrip('/')}/pressure"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.database = database
        self.failed_at: float | None = None

    async def look(self) -> Pressure | None:
        if self.failed_at is not None and monotonic() - self.failed_at < RETRY:
            return None
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await fetch(f"{self.url}?{urlencode({'database': self.database})}", self.headers)
            seen = read_pressure(json.loads(answer))
        except NONE as error:
            self._fail(str(error) or "no answer")
            return None
        if self.failed_at is not None:
            self.failed_at = None
            log.info("the proxy answers", url=self.url)
        return seen

    def _fail(self, reason: str) -> None:
        if self.failed_at is None:
            log.warning("the proxy does not answer: how the application does is not known", url=self.url, reason=reason,
                        hint="--proxy says where it is; --proxy off, that there is none.")  # fmt: skip
        self.failed_at = monotonic()


async def fetch(url: str, headers: Mapping[str, str]) -> bytes:
    """What is there, by http or https. OSError if nobody answers, ValueError if that is no answer, or no good one."""
    place = urlsplit(url)
    secure = place.scheme == "https"
    reader, writer = await asyncio.open_connection(
        place.hostname, place.port or (443 if secure else 80), ssl=secure or None
    )
    try:
        lines = [f"GET {place.path}?{place.query} HTTP/1.0", f"Host: {place.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return read_body(await read_all(reader))
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until it ends. ValueError if that is too long."""
    found = b""
    while data := await reader.read(LONGEST):
        found += data
        if len(found) > LONGEST:
            raise ValueError(f"an answer of more than {LONGEST} bytes")
    return found


def read_body(answer: bytes) -> bytes:
    """Of HTTP/1.0, which goes up to the end. ValueError if it is none, or its status is not 200."""
    head, divider, body = answer.partition(b"\r\n\r\n")
    protocol, _, status = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    if not (divider and protocol.startswith("HTTP/")):
        raise ValueError("that is not HTTP")
    if status.partition(" ")[0] != "200":
        raise ValueError(status)
    return body


def read_pressure(answer: Mapping[str, Any]) -> Pressure:
    """ValueError, TypeError or KeyError if it is none."""
    replicas = answer["replicas"]
    return Pressure(
        replicas=None if replicas is None else read_lags(replicas),
        utilisation=float(answer["utilisation"]),
        pool=str(answer["pool"]),
        waiting=int(answer["waiting"]),
        p95=_read_seconds(answer["p95_s"]),
        usual=_read_seconds(answer["usual_p95_s"]),
        p99=_read_seconds(answer.get("p99_s")),  # older proxies do not tell it
        usual_p99=_read_seconds(answer.get("usual_p99_s")),
    )


def read_lags(replicas: Sequence[Mapping[str, Any]]) -> list[ReplicaLag]:
    return [ReplicaLag(str(one["name"]), _read_seconds(one["lag_s"])) for one in replicas]


def _read_seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def find_proxy(wanted: ThrottleSettings, http: HttpSettings, database: str = "") -> ProxyLooks | None:
    """Where the settings say that it is; None if it is not to be asked."""
    if wanted.proxy == OFF or not (wanted.proxy or http.port):
        return None
    host = EVERYWHERE.get(http.host, http.host)
    url = wanted.proxy or f"http://{f'[{host}]' if ':' in host else host}:{http.port}"
    return ProxyLooks(url, http.token.get_secret_value(), database)
