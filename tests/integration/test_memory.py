"""Memory stays bounded whatever passes through: what is sent and not read, or comes faster than it goes, waits outside.

PostgreSQL: "COPY Operations"; promise 7 of docs/architecture.md.
"""

from tests.support.proxy import Proxy

MIB = 1 << 20


def test_memory_of_a_running_proxy_is_known(proxy: Proxy):
    assert proxy.rss() > MIB
