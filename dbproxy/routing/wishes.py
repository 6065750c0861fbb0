"""What a session's own settings say of where its reads go: `SET dbproxy.…`.

PostgreSQL takes any text for such settings. A text that names no wish is refused where it can be seen ahead (a literal,
a start-up parameter); where it cannot (`set_config($1, $2, false)`), it counts as the strictest there is.
"""

from collections.abc import Mapping

from dbproxy.pool.commits import UNKNOWN
from dbproxy.routing.lsn import parse_lsn
from dbproxy.sql.hint import read_hint
from dbproxy.sql.settings import OURS, TOKEN

EVENTUAL, SESSION, GLOBAL = "eventual", "session", "global"
SEES_OWN, SEES_ALL = 1, 2  # whose commits a read must see
SEES = {EVENTUAL: 0, SESSION: SEES_OWN, GLOBAL: SEES_ALL}
CONSISTENCY, ROUTE = OURS + "consistency", OURS + "route"
CACHE = OURS + "cache"  # which is for the gate of kept answers; here it is judged only
PRIMARY = "primary"
_TRUE = ("on", "true", "1", "yes")


class Wishes:
    """Of one session; `default` is the configuration's consistency. An empty setting is none: so RESET leaves it."""

    def __init__(self, values: Mapping[str, str], default: str) -> None:
        self.complaints = complain(values)
        wrong = {name for name, _ in self.complaints}
        consistency = values.get(CONSISTENCY, "").lower() or default
        self.consistency = GLOBAL if CONSISTENCY in wrong else consistency
        self.sees = SEES[self.consistency]
        self.route = PRIMARY if ROUTE in wrong else read_route(values.get(ROUTE, ""))
        token = values.get(TOKEN, "")
        self.token = UNKNOWN if TOKEN in wrong else parse_lsn(token) if token else 0
        self.read_only = values.get("default_transaction_read_only") in _TRUE
        isolation = values.get("default_transaction_isolation", "")
        self.serializable = isolation.lower() == "serializable"  # which no replica can be
        self.plain = not (self.route or self.read_only or self.serializable)  # all reads are alike


def read_route(text: str) -> str:
    """As a hint spells it; "" if it is none."""
    return read_hint(b"/* dbproxy: %b */" % text.encode(errors="surrogateescape"))


def complain(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Settings that cannot have their value: the name, and why, without the value: it is logged."""
    return [
        (name, why) for name, judge in _JUDGES.items() if values.get(name) and (why := judge(values[name]))
    ]


def _judge_consistency(value: str) -> str:
    known = value.lower() in (EVENTUAL, SESSION, GLOBAL)
    return "" if known else f"{CONSISTENCY} is eventual, session or global, nothing else"


def _judge_route(value: str) -> str:
    return "" if read_route(value) else f"{ROUTE} is primary, replica or replica(name), nothing else"


def _judge_token(value: str) -> str:
    try:
        valid = 0 <= parse_lsn(value) <= UNKNOWN
    except ValueError:
        valid = False
    return "" if valid else f"{TOKEN} is what SHOW {TOKEN} has said, such as 0/16B3748, nothing else"


def _judge_cache(value: str) -> str:
    return "" if value.lower() in ("on", "off") else f"{CACHE} is on or off, nothing else"


_JUDGES = {CONSISTENCY: _judge_consistency, ROUTE: _judge_route, TOKEN: _judge_token, CACHE: _judge_cache}
NO_WISHES = Wishes({}, SESSION)
