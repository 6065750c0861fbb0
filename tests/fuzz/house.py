"""The proxy that is spoken to: new, by settings that are read once."""

from collections.abc import Mapping, Sequence
from functools import cache
from time import monotonic

from dbproxy.app.proxy import Proxy
from dbproxy.cluster.finding import Finding
from dbproxy.config import Settings
from dbproxy.config.load import load

SETTINGS: Mapping[str, object] = {
    "primary.url": "postgresql://app:secret@127.0.0.1:1/shop?sslmode=disable",
    "auth.allow_cleartext": True,
    "auth.admin_users": "app",
    "pool.size": 2,
    "pool.read_functions": False,
    "pool.follow_defaults": False,
    "pool.server_login_retry": "0s",
    "pool.idle_transaction_timeout": "10s",
    "pool.query_timeout": "100s",
    "listen.max_message_size": "64KiB",
}
REPLICAS = (
    "postgresql://app@127.0.0.1:2/shop?sslmode=disable,postgresql://app@127.0.0.1:3/shop?sslmode=disable"
)
VARIANTS: Sequence[Mapping[str, object]] = (
    {},
    {"replicas": REPLICAS, "routing.slow_start": "0s", "routing.consistency": "eventual"},
    {"pool.mode": "session"},
    {"pool.mode": "statement"},
    {"log.parameters": True, "slow_query.threshold": "0s", "pool.refuse_pins": "lock"},
    {
        "replicas": REPLICAS,
        "routing.mode": "on",
        "routing.slow_start": "0s",
        "listen.max_message_size": "1KiB",
    },
)


class Process:
    """admin.house.Process: nobody is to be reloaded or shut down."""

    def reload(self) -> None:
        return None

    def shut_down(self, awaited: str) -> None:
        return None


@cache
def read_settings(given: tuple[tuple[str, object], ...]) -> Settings:
    return load(None, {}, {key: str(value) for key, value in given})


def make_proxy(settings: Mapping[str, object]) -> Proxy:
    """That listens nowhere, and knows its hosts."""
    proxy = Proxy(read_settings(tuple({**SETTINGS, **settings}.items())))
    proxy.process = Process()
    for member in proxy.cluster.members:
        role = "primary" if member.name == "primary" else "replica"
        proxy.cluster.learn(member, Finding(role, lsn=1000, timeline=1), monotonic())
    return proxy
