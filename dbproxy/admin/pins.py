"""SHOW PINS: a row for each client that keeps a server beyond its transaction, and each reason why."""

from collections.abc import Iterator
from time import monotonic

from dbproxy.admin.connections import show_time, wall_clock
from dbproxy.admin.house import House
from dbproxy.admin.table import Table, Value, columns, int4
from dbproxy.observe.masking import mask
from dbproxy.session.client import Client

PINS = columns(
    "database:s user:s client:i application_name:s server:i server_pid:i reason:s since:s seconds:i"
)


def show_pins(house: House) -> Table:
    clients = (login.client for login in house.registry if login.client is not None)
    return Table(PINS, (row for client in clients for row in pin_rows(client, monotonic())))


def pin_rows(client: Client, now: float) -> Iterator[tuple[Value, ...]]:
    who, server = client.identity, client.server
    if server is None:
        return
    name = mask(client.news.reported.get("application_name", who.application_name))
    link = (who.database, who.user, client.id, name, server.id, int4(server.backend.pid))
    for reason, since in sorted(client.state.pins.items()):
        yield *link, reason, show_time(wall_clock(since)), int(now - since)
