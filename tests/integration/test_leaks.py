"""What one client leaves behind, another never sees (promises 2 to 6 of docs/architecture.md)."""

import psycopg

from tests.support.proxy import Proxy


def test_open_transaction_of_a_client_that_left_is_not_seen(proxy: Proxy):
    with psycopg.connect(proxy.dsn()) as one:
        one.execute("CREATE TABLE half_done (a int)")
        one.close()
    with psycopg.connect(proxy.dsn()) as other:
        assert other.execute("SELECT to_regclass('half_done')").fetchone() == (None,)
