"""What operators see and do about rate limits: console, command line, HTTP, metrics, log, as one story each."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests.integration.test_console import connect as console
from tests.integration.test_console import show, until
from tests.support.node import install, run_async
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

CONFIG = """
[auth]
type = "trust"
admin_users = ["app"]

[limits]
mode = "on"
trust = ["app"]
action = "{action}"
max_delay = "20s"

[limits.tiers.single]
max_concurrent = 1
max_wait = "20s"

[[limits.rules]]
name = "tenant"
key = "{{setting.app.tenant_id}}"
tier = "free"
tiers = {{ narrow = "single" }}
"""
Limited = psycopg.errors.ConfigurationLimitExceeded


@contextmanager
def limiting(database: Database, action: str = "reject", **settings: object) -> Iterator[Proxy]:
    with serving(database, settings, config=CONFIG.format(action=action)) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with limiting(module_database) as running:
        yield running


@contextmanager
def tenant(proxy: Proxy, name: str) -> Iterator[psycopg.Connection]:
    """Which prepares nothing: what only prepares is judged, too, and given back."""
    options = f"-c app.tenant_id={name}"
    with psycopg.connect(proxy.dsn(), autocommit=True, options=options, prepare_threshold=None) as client:
        yield client


def spend(client: psycopg.Connection, number: int = 12) -> None:
    for _ in range(number):
        client.execute("SELECT 1")


def run(proxy: Proxy, *words: str) -> str:
    """`dbproxy limits …`, against this proxy."""
    command = [sys.executable, "-m", "dbproxy", "limits", *words]
    if words[0] != "report":
        command += ["--host", proxy.host, "--port", str(proxy.port), "--user", "app"]
    environment = {**os.environ, **proxy.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def fetch(proxy: Proxy, path: str, token: str = "") -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(proxy.http_url + path, headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


def test_administrator_sees_who_is_refused_and_lets_it_go_for_an_hour(proxy: Proxy) -> None:
    with tenant(proxy, "acme") as client, console(proxy) as admin:
        spend(client)
        with pytest.raises(Limited, match=r'rate limit exceeded for tenant "acme" \(tier free\)'):
            client.execute("SELECT 1")
        row = next(row for row in show(admin, "LIMITS") if row["key"] == "acme")
        assert (row["rule"], row["tier"], row["origin"], row["limit"]) == (
            "tenant",
            "free",
            "rule",
            "10/min burst 2",
        )
        assert (row["used"], row["left"], row["refused"], row["sessions"]) == (12, 0, 1, 1)
        assert 0 < row["next_free"] <= 6
        notices: list[str] = []
        admin.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        admin.execute("SET LIMIT tenant 'acme' = '500/min burst 50' FOR '1h'")
        assert notices[0].startswith('tenant "acme" is held to 500/min burst 50 for 1h; it was free')
        spend(client, 100)
        row = next(row for row in show(admin, "LIMITS") if row["key"] == "acme")
        assert (row["origin"], row["override"]) == ("console", "500/min burst 50")
        admin.execute("RESET LIMIT tenant 'acme'")
        with pytest.raises(Limited):
            spend(client, 20)
        (row,) = (row for row in show(admin, "LIMIT_TIERS") if row["tier"] == "free")
        assert row["rejected"] >= 2
    told = [line for line in proxy.log_lines() if line["event"] in ("limit set", "limit reset")]
    assert [(line["event"], line["key"]) for line in told] == [("limit set", "acme"), ("limit reset", "acme")]


def test_command_line_shows_explains_sets_and_resets(proxy: Proxy) -> None:
    with tenant(proxy, "globex") as client:
        spend(client)
        rows = json.loads(run(proxy, "top", "--format", "json"))
        assert ("globex", 12) in [(row["key"], row["used"]) for row in rows]
        assert "free" in run(proxy, "top", "--limit", "1")
        assert run(proxy, "set", "tenant", "globex", "pro", "--for", "1h").startswith(
            'tenant "globex" is held to 1000/min burst 100 for 1h; it was free'
        )
        told = {
            row["item"]: row["value"]
            for row in json.loads(run(proxy, "explain", "tenant", "globex", "--format", "json"))
        }
        assert (told["tier"], told["origin"], told["why"]) == (
            "pro",
            "console",
            "SET LIMIT on the console said so",
        )
        spend(client, 50)
        assert "again (tier free, by rule)" in run(proxy, "reset", "tenant", "globex")


def test_report_over_the_log_is_exact(proxy: Proxy) -> None:
    with tenant(proxy, "initech") as client, console(proxy) as admin:
        spend(client)
        for _ in range(60):
            with pytest.raises(Limited):
                client.execute("SELECT 1")
        refused = next(row["refused"] for row in show(admin, "LIMITS") if row["key"] == "initech")
        assert refused == 60

    def report() -> list[dict[str, Any]]:
        return [
            row
            for row in json.loads(run(proxy, "report", str(proxy.log_path), "--format", "json"))
            if row["key"] == "initech"
        ]

    until(lambda: sum(row["refused"] for row in report()) == 60)
    lines = [line for line in proxy.log_lines() if line.get("key") == "initech"]
    assert len(lines) < 10, "it does not flood the log"
    assert {(row["tier"], row["rule"]) for row in report()} == {("free", "tenant")}


def test_http_tells_of_them(proxy: Proxy) -> None:
    with tenant(proxy, "umbrella") as client:
        spend(client)
        with pytest.raises(Limited):
            client.execute("SELECT 1")
        found = json.loads(fetch(proxy, "/limits"))
        assert found["mode"] == "on"
        assert next(one for one in found["top"] if one["key"] == "umbrella")["left"] == 0
        assert json.loads(fetch(proxy, "/health/detailed"))["limits"]["keys"] >= 1
    metrics = fetch(proxy, "/metrics")
    assert re.search(r'dbproxy_limit_decisions_total\{outcome="rejected",tier="free"\} [1-9]', metrics)
    assert "dbproxy_limit_keys " in metrics
    assert "umbrella" not in metrics, "keys are no labels"


def test_http_asks_for_the_token(module_database: Database) -> None:
    token = "correct-horse-battery"
    with limiting(module_database, **{"http.token": token}) as proxy:
        with pytest.raises(HTTPError, match="401"):
            fetch(proxy, "/limits")
        assert json.loads(fetch(proxy, "/limits", token))["keys"] == 0


def test_observing_counts_and_refuses_nothing(module_database: Database) -> None:
    with limiting(module_database) as proxy, console(proxy) as admin:
        admin.execute("SET limits = 'observe'")
        with tenant(proxy, "acme") as client:
            spend(client, 40)
        (row,) = (row for row in show(admin, "LIMIT_TIERS") if row["tier"] == "free")
        assert (row["observed"], row["rejected"], row["refused_percent"]) == (28, 0, 70)
        admin.execute("SET limits = 'on'")
        with tenant(proxy, "acme") as client, pytest.raises(Limited):
            client.execute("SELECT 1")
        admin.execute("SET limits = 'off'")
        with tenant(proxy, "acme") as client:
            spend(client, 20)


def read_example(language: str) -> str:
    """What docs/limits.md tells clients to do."""
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    (code,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return str(code)


def test_client_in_python_waits_as_the_page_says(proxy: Proxy) -> None:
    names: dict[str, Any] = {}
    exec(read_example("python"), names)
    run(proxy, "set", "tenant", "patient", "10/s")
    with tenant(proxy, "patient") as client:
        for number in range(30):
            assert names["run"](client, "SELECT %s::int", [number]).fetchone() == (number,)
        run(proxy, "set", "tenant", "patient", "1/d")
        with pytest.raises(Limited):
            for _ in range(2):
                names["run"](client, "SELECT 1", tries=1)


def test_client_in_node_waits_as_the_page_says(proxy: Proxy, tmp_path: Path) -> None:
    folder = install(tmp_path, "pg@8")
    run(proxy, "set", "tenant", "node", "10/s")
    body = """
        const client = new Client({ connectionString: dsn, options: "-c app.tenant_id=node" });
        await client.connect();
        const found = [];
        for (let number = 0; number < 30; number++) {
            found.push((await run(client, "SELECT $1::int AS number", [number])).rows[0].number);
        }
        await client.end();
        return found;
        """
    imports = 'const { Client } = require("pg");\n' + read_example("js")
    assert run_async(folder, imports, body, proxy.dsn()) == list(range(30))
    refused = json.loads(run(proxy, "explain", "tenant", "node", "--format", "json"))
    assert {row["item"]: row["value"] for row in refused}["refused"] != "0"


def test_who_waits_for_a_limit_is_shown_with_who_is_in_the_way(proxy: Proxy) -> None:
    with tenant(proxy, "narrow") as first, tenant(proxy, "narrow") as second, console(proxy) as admin:
        first.execute("BEGIN")
        first.execute("SELECT 1")
        second.pgconn.send_query(b"SELECT 2")
        until(lambda: show(admin, "WAITS"))
        (wait,) = show(admin, "WAITS")
        assert (wait["waits_for"], wait["statement"], wait["holders"]) == ("limit", "SELECT $?", 1)
        assert wait["reason"] == 'tenant "narrow" (tier single): Transactions open: 1; limit: 1.'
        (holder,) = show(admin, "HOLDERS")
        assert (holder["client"], holder["limit"], holder["held_back"]) == (
            wait["holder"],
            'tenant "narrow"',
            1,
        )
        first.execute("COMMIT")
        while second.pgconn.get_result() is not None:
            pass
        until(lambda: not show(admin, "WAITS"))
