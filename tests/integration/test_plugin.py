"""The plugin of examples/, with real replicas."""

from collections.abc import Iterator

import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, hosts_of, routing
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(hosts, {"routing.plugin": "examples.analysts:route"}) as running:
        yield running


def test_the_plugin_decides_where_the_configuration_does_not(proxy: Proxy):
    with open_client(proxy.dsn(), application_name="analyst 7") as analyst, open_client(proxy.dsn()) as other:
        assert hosts_of(other) == REPLICAS
        assert hosts_of(analyst) == {"replica2"}
        assert hosts_of(analyst, "/* dbproxy: primary */ SHOW test.host") == {"primary"}


def test_the_plugin_keeps_a_read_on_the_primary(proxy: Proxy):
    with open_client(proxy.dsn()) as client:
        client.execute("CREATE TABLE payments ()")
        for _ in range(20):
            query = "SELECT current_setting('test.host'), count(*) FROM payments"
            assert client.execute(query).fetchone() == ("primary", 0)


def test_a_plugin_that_cannot_be_loaded_keeps_the_proxy_from_starting(proxy: Proxy):
    broken = Proxy(proxy.url, settings={"routing.plugin": "examples.nothing:route"})
    with pytest.raises(AssertionError, match=r"(?s)exit code 2.*routing\.plugin: examples\.nothing:route"):
        broken.start()
    broken.close()
