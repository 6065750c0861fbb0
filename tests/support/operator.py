"""What an operator sees of a proxy, each by its own way: log, metrics, console, page, alerts."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
from psycopg.rows import dict_row

from dbproxy.demo.scrape import Scrape
from tests.support.prometheus import Prometheus
from tests.support.proxy import Proxy

PATIENCE = 30.0
Row = dict[str, Any]


class Operator(AbstractContextManager["Operator"]):
    """Reads, and changes nothing: `with Operator(proxy, prometheus) as operator`."""

    def __init__(self, proxy: Proxy, prometheus: Prometheus) -> None:
        self.proxy = proxy
        self.prometheus = prometheus
        self.console: psycopg.Connection[Row] | None = None
        self.stack = ExitStack()
        self.moment: Row = {}
        self.events: list[Row] = []
        self.number = 0  # of messages to the page
        self.told = threading.Condition()
        self.over = False
        self.watcher = threading.Thread(target=self.look)

    def __enter__(self) -> Self:
        console = psycopg.connect(
            self.proxy.dsn("dbproxy"), autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
        self.console = self.stack.enter_context(console)
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.watcher.join()
        self.stack.close()

    def log(self, event: str, **wanted: object) -> list[Row]:
        """The lines of this event, with these values."""
        lines = [line for line in self.proxy.log_lines() if line["event"] == event]
        return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of this name."""
        with urlopen(f"{self.proxy.http_url}/metrics", timeout=10) as answer:
            return list(Scrape(answer.read().decode()).samples(name))

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of the series with these labels; None if there are none."""
        found = [value for known, value in self.samples(name) if labels.items() <= known.items()]
        return sum(found) if found else None

    def show(self, command: str, **wanted: object) -> list[Row]:
        """The rows of a SHOW with these values."""
        assert self.console is not None
        rows = self.console.execute(f"SHOW {command}").fetchall()
        return [row for row in rows if wanted.items() <= row.items()]

    def page(self) -> Row:
        """What the page shows once it has been sent what is new, a second later at most."""
        with self.told:
            number = self.number
            assert self.told.wait_for(lambda: self.number > number, PATIENCE), "the page is told nothing"
            return {**self.moment, "events": list(self.events)}

    def look(self) -> None:
        """As the page does all the time."""
        with (
            suppress(OSError, ValueError),
            urlopen(f"{self.proxy.http_url}/events", timeout=PATIENCE) as stream,
        ):
            while not self.over and (line := stream.readline()):
                if not line.startswith(b"data: "):
                    continue
                with self.told:
                    self.moment = json.loads(line.removeprefix(b"data: "))
                    self.events += [event for event in self.moment["events"] if event not in self.events]
                    self.number += 1
                    self.told.notify_all()

    def json(self, path: str) -> Any:
        """What is answered there, with whatever status."""
        try:
            with urlopen(self.proxy.http_url + path, timeout=10) as answer:
                return json.load(answer)
        except HTTPError as error:
            return json.load(error)

    def alerts(self, name: str) -> list[Row]:
        """The labels of those that fire under this name, the critical ones first."""
        found = self.prometheus.query(f"ALERTS{{alertname='{name}',alertstate='firing'}}")
        return sorted((alert["metric"] for alert in found), key=lambda labels: labels["severity"])

    def scraped(self, expression: str) -> float | None:
        """As Prometheus has it; None for nothing."""
        found = self.prometheus.query(expression)
        return float(found[0]["value"][1]) if found else None

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never; {self.proxy.log()[-3000:]}"
            time.sleep(0.05)  # another process: asked, not awaited
