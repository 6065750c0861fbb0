"""`dbproxy queries`: what a running proxy tells of its statements, and what has changed since a snapshot."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from dbproxy.config import Settings
from dbproxy.config.units import show_duration
from dbproxy.errors import ConfigurationError, ProxyError
from dbproxy.observe.comparison import compare, spell
from dbproxy.observe.queries import BadQuestion
from dbproxy.observe.snapshots import Snapshot, find_nearest, list_files, read

TIMEOUT = 10.0
BAD_REQUEST = 400
HINTS = {401: "Give the proxy's own settings: --config, or DBPROXY_HTTP__TOKEN."}
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # listened to, not connected to


def spell_address(settings: Settings) -> str:
    """Where the proxy's HTTP endpoints are, as this host reaches them."""
    host = ANYWHERE.get(settings.http.host, settings.http.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


def fetch(settings: Settings, words: dict[str, str]) -> str:
    """What `/metrics/queries` answers; BadQuestion if it cannot be asked so, ProxyError for what else is wrong."""
    address = spell_address(settings)
    request = make_request(settings, f"{address}/metrics/queries?{urlencode(words)}")
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310  # http
            return str(answer.read().decode())
    except HTTPError as refusal:
        if refusal.code == BAD_REQUEST:
            raise BadQuestion(read_reason(refusal)) from None
        raise ProxyError(read_reason(refusal), hint=HINTS.get(refusal.code, "")) from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason
        raise ProxyError(
            f"no proxy answers at {address}: {reason}",
            hint="Its address is http.host and http.port; give --config, or DBPROXY_HTTP__PORT.",
        ) from None


def make_request(settings: Settings, url: str) -> Request:
    """With the token, if there is one."""
    token = settings.http.token.get_secret_value()
    return Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310  # http


def read_reason(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError):
        return f"HTTP status {error.code}"


def fetch_snapshot(settings: Settings) -> Snapshot:
    """The last hour of a running proxy."""
    answer: dict[str, Any] = json.loads(fetch(settings, {"window": "1h", "limit": "0"}))
    return Snapshot(time.time(), answer["window_s"], answer["queries"])


def report_changes(settings: Settings, against: float) -> list[str]:
    """What is other than `against` seconds ago; where no proxy answers, the newest snapshot is looked at."""
    folder = Path(settings.query_stats.state_dir)
    if not settings.query_stats.state_dir:
        raise ConfigurationError(
            "no snapshots are kept: query_stats.state_dir is empty",
            hint="Set it (DBPROXY_QUERY_STATS__STATE_DIR) and restart the proxy; if it is set there, give --config.",
        )
    try:
        after, name = fetch_snapshot(settings), "the last hour"
    except ProxyError:
        files = list_files(folder)
        if not files:
            raise
        after, name = read_file(files[-1][1]), "the newest snapshot, as no proxy answers"
    path = find_nearest(folder, after.at - against)
    if path is None:
        raise ProxyError(
            f"there is no snapshot yet in {folder}",
            hint=f"A running proxy writes one every {show_duration(settings.query_stats.snapshot)}, if it may.",
        )
    before = read_file(path)
    ago = (after.at - before.at) / 3600
    head = f"{name} against {path.name}, {ago:.1f} h before; {before.window_s:.0f} s and {after.window_s:.0f} s long"
    lines = [spell(change) for change in compare(before, after)]
    return [head, *(lines or ["nothing is new, gone, slower or more frequent"])]


def read_file(path: Path) -> Snapshot:
    """ProxyError if it is no snapshot."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise ProxyError(f"{path} cannot be read: {error}") from None
