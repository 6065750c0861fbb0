"""Exporters for PgBouncer are run against the console as they are, and /metrics says by itself what they say."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.targets import PGBOUNCER, pgbouncer
from dbproxy.demo.postgres import HOST, free_port
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

DEBIANS = Path("/usr/bin/prometheus-pgbouncer-exporter")
PACKAGES = ("prometheus-pgbouncer-exporter==2.1.2", "python-json-logger==0.1.11", "PyYAML", "psycopg2-binary")
TIMEOUT = 60.0
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"auth.type": "trust", "auth.stats_users": "app"}) as running:
        with psycopg.connect(running.dsn(), autocommit=True) as client:
            client.execute("SELECT 1")
        yield running


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exporter of PyPI in a folder of its own, beside what it imports; it names versions of before Python 3.11."""
    folder = tmp_path_factory.mktemp("exporter")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        *PACKAGES,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip install {' '.join(PACKAGES)} did not end within a minute")
    if done.returncode:
        pytest.skip(f"pip install {' '.join(PACKAGES)} failed: {done.stderr.strip()[-300:]}")
    return folder


@contextmanager
def running(
    command: Sequence[str | Path], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fetch(port: int, process: subprocess.Popen[bytes], log: Path) -> str:
    """What it exposes, once it does; "" if it has ended instead."""
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None:
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.05)  # another process: asked, not awaited
    return ""


def read(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("pgbouncer_")
    }


def test_metrics_have_every_series_of_the_exporter_from_pypi(
    proxy: Proxy, package: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    config = tmp_path / "config.yml"
    dsn = proxy.dsn("pgbouncer")
    config.write_text(f"exporter_host: {HOST}\nexporter_port: {port}\npgbouncers:\n  - dsn: {dsn}\n")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "prometheus_pgbouncer_exporter.cli",
        "--config",
        str(config),
    ]
    with running(command, {"PYTHONPATH": str(package)}, log) as process:
        told = read(fetch(port, process, log))
    assert told.pop(("pgbouncer_up", frozenset())) == 1, log.read_text()
    assert len(told) > 15
    with urlopen(f"{proxy.http_url}/metrics", timeout=10) as answer:
        ours = read(answer.read().decode())
    assert set(told) <= set(ours)
    assert {key: ours[key] for key in told} == told


@pytest.mark.skipif(
    not DEBIANS.exists(), reason="not installed (apt-get install prometheus-pgbouncer-exporter)"
)
@pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed (apt-get install pgbouncer)")
def test_console_is_to_debians_exporter_what_pgbouncers_is(
    proxy: Proxy, module_database: Database, tmp_path: Path
) -> None:
    """Version 1.7 asks for a column that PgBouncer has not had since 1.8: it ends at once, with both."""
    with pgbouncer(module_database.server, 1, "user=app_trust") as target:
        expected = ask_debians(target.port, module_database.server.superuser, tmp_path / "pgbouncer")
    assert ask_debians(proxy.port, "app", tmp_path / "proxy") == expected
    assert expected


def ask_debians(console: int, user: str, log: Path) -> set[str]:
    """The names of what it tells, or its last words."""
    port = free_port()
    where = {"--host": HOST, "--port": port, "--pgbouncer-host": HOST, "--pgbouncer-port": console}
    options = [str(word) for pair in {**where, "--pgbouncer-user": user}.items() for word in pair]
    with running([DEBIANS, *options], {"PATH": os.defpath}, log) as process:
        text = fetch(port, process, log)
    last_words = re.sub(r"\d+", "", log.read_text().strip().rpartition("\n")[2])
    return {name for name, _ in read(text)} or {last_words}
