"""SHOW SHAPES: the statements that are sent most often, without their literals. PgBouncer does not know them."""

from collections.abc import Iterator
from heapq import nlargest

from dbproxy.admin.house import House
from dbproxy.admin.table import Table, Value, columns
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape

SHAPES = columns("hash:s database:s calls:q kind:s reads:s writes:s text:s")
LISTED = 200


def show_shapes(house: House) -> Table:
    """The most frequent first; those that were only prepared have no calls."""
    found = nlargest(LISTED, _list_shapes(house), key=lambda known: known[1].calls)
    return Table(SHAPES, (_row(database, shape) for database, shape in found))


def _list_shapes(house: House) -> Iterator[tuple[str, Shape]]:
    """Pools of one database have their shapes in common."""
    classifiers: dict[StatementCache, str] = {
        pool.tenant.classifier: pool.database for pool in list(house.pools.values())
    }
    for classifier, database in classifiers.items():
        yield from ((database, shape) for shape in classifier.list_shapes())


def _row(database: str, shape: Shape) -> tuple[Value, ...]:
    reads, writes = (", ".join(sorted(names)) for names in (shape.relations, shape.targets))
    return shape.name(), database, shape.calls, shape.kind, reads, writes, shape.text
