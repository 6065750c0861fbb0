"""The proxy's settings: `load` them, `compare` two of them, `list_entries` to show them."""

from dbproxy.config.diff import Change, compare
from dbproxy.config.keys import Entry, list_entries
from dbproxy.config.load import load
from dbproxy.config.routing import AUTO, Balancing, HealthSettings, HedgeAfter, RoutingSettings, RuleSettings
from dbproxy.config.sections import PoolMode, PoolSettings
from dbproxy.config.settings import Settings
from dbproxy.config.url import Host

__all__ = [
    "AUTO",
    "Balancing",
    "Change",
    "Entry",
    "HealthSettings",
    "HedgeAfter",
    "Host",
    "PoolMode",
    "PoolSettings",
    "RoutingSettings",
    "RuleSettings",
    "Settings",
    "compare",
    "list_entries",
    "load",
]
