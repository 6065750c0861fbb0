"""A real Prometheus that reads a proxy's metrics twice a second, and the rules of deploy/prometheus.

What takes minutes there (`for: 5m`, `[5m]`) takes seconds here; the thresholds are what they are.
"""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from dbproxy.demo.postgres import free_port
from dbproxy.demo.process import release, spawn

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES, ALERTS, TESTS = (FOLDER / f"dbproxy.{name}.yml" for name in ("rules", "alerts", "tests"))
INTERVAL = "500ms"
WINDOW = "4s"  # in place of minutes
PATIENCE = "1s"  # one scrape that comes late on a busy machine is no fault
TIMEOUT = 60.0
_RULE = re.compile(
    r"^ +- (?P<kind>alert|record): (?P<name>\S+)\n +expr: (?P<expression>.+)$(?P<rest>(?:\n(?! +- |\n).*)*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Rule:
    """One of a file; `rest` are the lines behind its expression."""

    kind: str
    name: str
    expression: str
    rest: str

    def read(self, key: str) -> str:
        found = re.search(rf"^ +{key}: (.+)$", self.rest, re.MULTILINE)
        return found[1].strip('"') if found else ""


def read_rules(path: Path) -> list[Rule]:
    """As our files are written: a rule's name, then its expression in one line."""
    return [Rule(**found.groupdict()) for found in _RULE.finditer(path.read_text())]


def find_program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install prometheus)")
    return found


def promtool(*arguments: object, given: str = "", folder: Path = FOLDER) -> str:
    """What it says; a failure of it is the test's."""
    done = subprocess.run(
        [find_program("promtool"), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=TIMEOUT,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def hasten(rules: str) -> str:
    """Rules that need little patience."""
    rules = re.sub(r"\[\d+m\]", f"[{WINDOW}]", rules)
    return re.sub(r"^( +for): .+$", rf"\1: {PATIENCE}", rules, flags=re.MULTILINE)


class Prometheus:
    """`with Prometheus(address)`: it reads `http://ADDRESS/metrics` inside, or has tried to (`up=False`)."""

    def __init__(self, address: str, token: str = "", *, up: bool = True) -> None:
        self.expected = f"up == {up:d}"
        self.program = find_program("prometheus")
        self.folder = tempfile.TemporaryDirectory(prefix="dbproxy-prometheus-")
        self.port = free_port()
        place = Path(self.folder.name)
        for path in (RULES, ALERTS):
            (place / path.name).write_text(hasten(path.read_text()))
        login = f"\n    authorization: {{credentials: {token}}}" if token else ""
        (place / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {INTERVAL}, scrape_timeout: {INTERVAL}, evaluation_interval: {INTERVAL}}}\n"
            f"rule_files: [{RULES.name}, {ALERTS.name}]\n"
            f"scrape_configs:\n  - job_name: dbproxy{login}\n"
            f"    static_configs: [{{targets: ['{address}'], labels: {{instance: proxy}}}}]\n"
        )
        self.log_path = place / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        place = Path(self.folder.name)
        command = [
            self.program,
            f"--config.file={place / 'prometheus.yml'}",
            f"--storage.tsdb.path={place / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--query.lookback-delta=3s",
        ]
        with self.log_path.open("ab") as log:
            self._process = spawn(command, log=log, cwd=place, environment={})
        try:
            self.until(lambda: self.query(self.expected))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            release(self._process, TIMEOUT)
            self._process = None
        self.folder.cleanup()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples; none while it does not answer yet."""
        return self.ask("query", query=expression).get("data", {}).get("result", [])

    def firing(self) -> set[tuple[str, str]]:
        """Name and severity of each alert that does."""
        alerts = self.ask("alerts").get("data", {}).get("alerts", [])
        return {
            (alert["labels"]["alertname"], alert["labels"]["severity"])
            for alert in alerts
            if alert["state"] == "firing"
        }

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urlopen(url, timeout=10) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            if error.code != 503:
                raise AssertionError(error.read().decode()) from error  # what it was asked is wrong
            return {}
        except (URLError, ConnectionError):
            return {}

    def until(self, condition: Callable[[], object]) -> None:
        """Return once it holds."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, (
                f"never; firing: {self.firing()}\n{self.log_path.read_text()[-2000:]}"
            )
            time.sleep(0.1)  # another process: asked, not awaited
