"""What is done with connections to an address that a server's name has no more."""

import structlog

from dbproxy.app.addresses import leave
from tests.unit.pool.fakes import FakeClient, FakePool


def test_servers_at_an_address_that_has_left_the_name_are_closed_once_they_are_free():
    fake = FakePool(size=4)
    places = {
        "idle": ("db.test:5432", ("10.0.0.1", 5432)),
        "busy": ("db.test:5432", ("10.0.0.1", 5432)),
        "there": ("db.test:5432", ("10.0.0.2", 5432)),
        "other": ("else.test:5432", ("10.0.0.1", 5432)),
    }
    servers = {}
    for name, (address, endpoint) in places.items():
        fake.lend(FakeClient())
        servers[name] = fake.open(name, 0.0)
        servers[name].backend.address, servers[name].backend.endpoint = address, endpoint
    for name in ("idle", "there", "other"):
        fake.pool.checkin(servers[name], 0.0)
    with structlog.testing.capture_logs() as lines:
        leave(lambda: [fake.pool], "db.test", 5432, frozenset({("10.0.0.2", 5432)}))
    assert {name: server.closed_for for name, server in servers.items()} == {
        "idle": "db.test has another address now", "busy": "", "there": "", "other": ""
    }  # fmt: skip
    assert lines[-1]["servers"] == 2
    fake.pool.checkin(servers["busy"], 1.0)
    assert servers["busy"].closed_for == "db.test has another address now"
