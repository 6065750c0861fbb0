"""EXPLAIN ROUTE: where a statement would go now, by what each router of the database knows."""

from collections.abc import Iterator

from dbproxy.admin.command import Question
from dbproxy.admin.house import House
from dbproxy.admin.table import Table, columns
from dbproxy.routing.explain import explain_route, explain_text

ROUTE = columns("route:s")


def explain(house: House, question: Question) -> Table:
    """One line for each row; of several databases or users each has its own."""
    return Table(ROUTE, [(line,) for line in _explain(house, question)])


def _explain(house: House, question: Question) -> Iterator[str]:
    text = question.statement.encode("utf-8", "surrogateescape")
    routers = [
        (names, router) for names, router in house.routers.items() if question.database in ("", names[0])
    ]
    for (database, user), router in routers:
        listed = house.settings.listed(database)
        read_only = listed is not None and listed.read_only
        yield f"database {database}, user {user}:"
        yield from (f"  {line}" for line in explain_route(router, text, read_only=read_only))
    if not routers:
        yield from explain_text(text)
        yield _excuse(house, question.database)


def _excuse(house: House, database: str) -> str:
    if not house.settings.replicas:
        return "There are no replicas: everything goes to the primary."
    which = f"of {database} " if database else ""
    return f"No client {which}has been here lately, so no catalog was read: this is what the grammar alone tells."
