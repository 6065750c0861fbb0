"""What a transaction writes is seen, whatever other features of the proxy follow transactions, too."""

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from dbproxy.demo.postgres import Postgres
from tests.support import hosts as routed
from tests.support.kept import SETTINGS, until
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

READ = "SELECT count(*) FROM items"
LIMIT = '[limits.tiers.all]\nrate = "100000/s"\n[[limits.rules]]\nname = "all"\nkey = "user"\ntier = "all"\n'
FEATURES: dict[str, dict[str, object]] = {
    "nothing else": {},
    "no statistics": {"query_stats.enabled": False},
    "limits": {"limits.mode": "on"},
    "every query is slow": {"slow_query.threshold": "0s"},
    "no defaults": {"pool.follow_defaults": False},
}
ROUTING: dict[str, dict[str, object]] = {
    "reads go to replicas that may be behind": {"routing.mode": "on", "routing.consistency": "eventual"},
    "a session sees its writes": {"routing.mode": "on", "routing.consistency": "session"},
    "all see all writes": {"routing.mode": "on", "routing.consistency": "global"},
}


@pytest.mark.parametrize("feature", FEATURES)
def test_write_of_a_transaction_is_seen_whatever_else_is_on(feature: str, database: Database):
    """Pgpool 1333d2ae8: another feature shared the mark that a transaction has written, and took it away."""
    with connect(database.server, database.name) as owner:
        owner.execute("CREATE TABLE items (id int, name text); GRANT ALL ON items TO app")
    with serving(database, SETTINGS | FEATURES[feature], config=LIMIT) as proxy:
        check(proxy)


@pytest.mark.parametrize("feature", ROUTING)
def test_write_of_a_transaction_is_seen_wherever_reads_go(feature: str, hosts: list[Postgres]):
    with routed.routing(hosts, SETTINGS | ROUTING[feature]) as proxy:
        check(proxy, others=feature == "all see all writes", itself="replicas" not in feature)


@pytest.mark.parametrize("feature", FEATURES)
def test_reads_of_a_transaction_are_answered_whatever_else_is_on(feature: str, database: Database):
    with connect(database.server, database.name) as owner:
        owner.execute("CREATE TABLE items (id int, name text); GRANT ALL ON items TO app")
    with serving(database, SETTINGS | FEATURES[feature], config=LIMIT) as proxy:
        check_within(proxy)


@pytest.mark.parametrize("feature", ROUTING)
def test_reads_of_a_transaction_are_answered_wherever_it_goes(feature: str, hosts: list[Postgres]):
    with routed.routing(hosts, SETTINGS | ROUTING[feature]) as proxy:
        check_within(proxy)


def check_within(proxy: Proxy) -> None:
    """Statements of a transaction never go back in time, and end up with what others have written meanwhile."""
    with enter(proxy) as reader, enter(proxy) as writer, enter(proxy, "dbproxy") as console:
        until(lambda: is_hit(console, writer))
        for number in range(5):
            reader.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
            until(lambda: is_hit(console, reader))
            seen = [count(reader)]
            writer.execute("INSERT INTO items VALUES (%s)", [number])

            def is_told(seen: list[int] = seen, wanted: int = number + 1) -> bool:
                seen.append(count(reader))
                return seen[-1] == wanted

            until(is_told)
            until(lambda: is_hit(console, reader))
            seen.append(count(reader))
            assert seen == sorted(seen)
            reader.execute("COMMIT")
            assert reader.info.transaction_status == TransactionStatus.IDLE


def check(proxy: Proxy, *, others: bool = True, itself: bool = True) -> None:
    """Reads between the writes of a transaction, reads between transactions, and those of others.

    Who may see a replica that is behind may see it for as long as it is (`itself`: the client that has written).
    """
    with enter(proxy) as reader, enter(proxy) as writer, enter(proxy, "dbproxy") as console:
        for number in range(5):
            until(lambda: is_hit(console, reader))
            with writer.transaction():
                writer.execute("INSERT INTO items VALUES (%s)", [2 * number])
                assert count(writer) == 2 * number + 1
                assert count(reader) == 2 * number
                count(writer)
                writer.execute("INSERT INTO items VALUES (%s)", [2 * number + 1])
                count(writer)
            assert not itself or count(writer) == 2 * number + 2
            assert not others or count(reader) == 2 * number + 2
            until(lambda: count(reader) == 2 * number + 2)  # noqa: B023  # called here


def enter(proxy: Proxy, name: str = "") -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(name), autocommit=True, cursor_factory=psycopg.ClientCursor)


def count(client: psycopg.Connection) -> int:
    row = client.execute(READ).fetchone()
    assert row is not None
    return int(row[0])


def is_hit(console: psycopg.Connection, reader: psycopg.Connection) -> bool:
    before = read_hits(console)
    count(reader)
    return read_hits(console) > before


def read_hits(console: psycopg.Connection) -> int:
    cursor = console.execute("SHOW CACHE")
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return sum(row[names.index("hits")] for row in cursor.fetchall() if row[names.index("user")] == "<all>")
