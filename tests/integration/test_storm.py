"""Clients that connect anew for each transaction, by TLS and SCRAM: nothing is left of them."""

from pathlib import Path

import psutil
import pytest

from tests.support.certificates import Authority, tls_postgres
from tests.support.postgres import PASSWORD, connect
from tests.support.programs import run
from tests.support.proxy import Proxy
from tests.support.serving import judge_log

MIB = 2**20
LONG = pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])


@pytest.mark.parametrize("seconds", [4, LONG])
def test_storm_of_logins_leaves_nothing_behind(tmp_path: Path, seconds: int):
    authority = Authority(tmp_path)
    own = authority.issue_server()
    settings = {
        "tls.client_tls_sslmode": "require",
        "tls.client_tls_cert_file": own.chain,
        "tls.client_tls_key_file": own.key,
        "pool.size": 5,
        "auth.admin_users": "app",
    }
    with tls_postgres(authority) as server:
        url = f"postgresql://app:{PASSWORD}@localhost:{server.port}/postgres?sslmode=require"
        with Proxy(url, settings=settings) as proxy:
            with connect(server) as owner:
                owner.execute("GRANT CREATE ON SCHEMA public TO app")
            environment = {"PGSSLMODE": "require"}
            run(server, "pgbench", "-i", "-q", "-s", 1, dsn=proxy.dsn(), environment=environment)
            load = ("-n", "-S", "-C", "-c", 8, "-T")
            run(server, "pgbench", *load, max(2, seconds // 10), dsn=proxy.dsn(), environment=environment)
            process = psutil.Process(proxy.pid)
            before = process.num_fds(), proxy.rss()
            told = run(
                server, "pgbench", *load, seconds, dsn=proxy.dsn(), environment=environment,
                timeout=seconds + 60,
            )  # fmt: skip
            assert "number of failed transactions: 0 " in told
            after = process.num_fds(), proxy.rss()
            print(told, "descriptors, bytes:", before, after)  # noqa: T201  # shown by a soak
            assert after[0] <= before[0] + 5
            assert after[1] <= before[1] + 8 * MIB
            judge_log(proxy)
