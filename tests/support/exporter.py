"""The exporter for PgBouncer that PyPI has, run as its users run it; without it tests skip."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbproxy.demo.postgres import HOST, free_port

# It pins a psycopg2 that newer Pythons cannot build, and an old prometheus_client: others will do.
PACKAGES = ("prometheus-pgbouncer-exporter==2.1.2", "psycopg2-binary", "python-json-logger", "PyYAML")
MAIN = "from prometheus_pgbouncer_exporter.cli import main; main()"
TIMEOUT = 60


def install(place: Path) -> Path:
    """The folder, with the exporter in it; skip where that cannot be."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        done = subprocess.run(
            [*pip, "--target", str(place), *PACKAGES],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("pip install of the exporter did not end within a minute")
    if done.returncode:
        pytest.skip(f"pip install of the exporter failed: {done.stderr.strip()[-300:]}")
    return place


@contextmanager
def exporting(place: Path, dsn: str) -> Iterator[str]:
    """The exporter in front of the console at `dsn`; where its metrics are. It ends with the block."""
    port = free_port()
    config, log = place / "config.yml", place / "log"
    config.write_text(
        f"exporter_host: {HOST}\nexporter_port: {port}\npgbouncers:\n"
        f"  - dsn: {dsn}\n    connect_timeout: 5\n    extra_labels: {{pool_id: 1}}\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", MAIN, "--config", str(config), "--log-file", str(log)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(place)}) as process:
        try:
            yield f"http://{HOST}:{port}/metrics"
        finally:
            process.kill()
    assert "Unable" not in log.read_text()
