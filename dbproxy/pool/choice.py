"""Which of several hosts in one URL a new connection goes to: libpq's `target_session_attrs`, `load_balance_hosts`.

libpq: "Specifying Multiple Hosts". They are tried in the order of the URL, or in random order; one where a connection
failed lately comes last. A host that is not what is asked for is passed over, as is one that cannot be reached or lets
nobody in at the moment; one that refuses the login ends the search.
"""

import random
from collections.abc import Mapping, Sequence

from dbproxy.errors import LoginRefused, ProxyError, ServerRefused, ServerUnavailable
from dbproxy.pool.insertions import STANDBY

READ_ONLY = "default_transaction_read_only"
# Of servers older than PostgreSQL 14, which do not report the two.
QUESTION = (
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END,"
    " pg_catalog.current_setting('default_transaction_read_only')"
)
# What PostgreSQL answers to a login that may succeed later: starting up, shutting down, no slot free.
PASSING = frozenset({"57P03", "57P01", "53300"})
SHUNNED = 30.0  # seconds


class Standing:
    """Which addresses failed lately, by their text; of the whole proxy."""

    def __init__(self) -> None:
        self.failed: dict[str, float] = {}  # when, in monotonic seconds

    def note(self, address: str, now: float, *, failed: bool) -> None:
        if failed:
            self.failed[address] = now
        else:
            self.failed.pop(address, None)

    def order(self, addresses: Sequence[str], now: float, *, shuffles: bool) -> list[int]:
        """The places of these in the list, in the order in which to try them."""
        places = list(range(len(addresses)))
        if shuffles:
            random.shuffle(places)
        return sorted(places, key=lambda place: self.since(addresses[place], now))

    def since(self, address: str, now: float) -> float:
        failed = self.failed.get(address, 0.0)
        return failed if now - failed < SHUNNED else 0.0


def list_wishes(attrs: str) -> tuple[str, ...]:
    """What is asked for, and what instead where no host is that."""
    return ("standby", "any") if attrs == "prefer-standby" else (attrs,)


def tells(parameters: Mapping[str, str]) -> bool:
    """Whether the server has reported what `judge` goes by."""
    return STANDBY in parameters and READ_ONLY in parameters


def judge(attrs: str, parameters: Mapping[str, str]) -> str:
    """Why a server that reports these is not what is asked for; "" if it is."""
    standby, read_only = parameters.get(STANDBY) == "on", parameters.get(READ_ONLY) == "on"
    if attrs in ("primary", "read-write") and standby:
        return "the server is a standby: it takes no writes"
    if attrs == "read-write" and read_only:
        return (
            "the session is read-only (default_transaction_read_only), and target_session_attrs is read-write"
        )
    if attrs == "standby" and not standby:
        return "the server is no standby, and target_session_attrs is standby"
    if attrs == "read-only" and not (standby or read_only):
        return "the session takes writes, and target_session_attrs is read-only"
    return ""


def is_final(error: Exception) -> bool:
    """Whether no other host is tried."""
    return isinstance(error, ServerRefused) and error.sqlstate not in PASSING


def combine(errors: Sequence[Exception]) -> ProxyError:
    """One error for all that was tried."""
    told = [error.message for error in errors if isinstance(error, ProxyError)]
    refused = errors and all(isinstance(error, LoginRefused) for error in errors)
    kind = LoginRefused if refused else ServerUnavailable
    return kind("; ".join(dict.fromkeys(told)))
