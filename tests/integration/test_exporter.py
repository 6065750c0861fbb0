"""The exporter that PyPI has for PgBouncer charts dbproxy, unchanged: it asks the console, with psycopg2."""

import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.exporter import exporting, install
from tests.support.postgres import Database
from tests.support.serving import serving

SETTINGS = {"pool.size": 3, "auth.type": "trust", "auth.stats_users": "app"}


@pytest.mark.timeout(180)
def test_exporter_of_pypi_charts_the_console(module_database: Database, tmp_path: Path):
    place = install(tmp_path)
    with serving(module_database, SETTINGS) as proxy, psycopg.connect(proxy.dsn()) as client:
        client.execute("SELECT 1")
        with exporting(place, proxy.dsn("pgbouncer")) as url:
            samples = scrape(url)
    database = module_database.name
    assert samples["pgbouncer_up", ""] == 1
    assert samples["pgbouncer_pools_server_active_connections", database] == 1
    assert samples["pgbouncer_databases_database_pool_size", database] == 3
    assert samples["pgbouncer_stats_queries_total", database] >= 1
    assert samples["pgbouncer_config_max_client_conn", ""] == 10_000


def scrape(url: str) -> dict[tuple[str, str], float]:
    """By name and database, as soon as the exporter is there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
            break
        except URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # another process: asked, not awaited
    return {
        (sample.name, sample.labels.get("database", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
