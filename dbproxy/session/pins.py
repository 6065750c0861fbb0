"""Which pins began and which ended, as a transaction's audit says: counted, logged, and dated."""

from collections.abc import Mapping

import structlog

from dbproxy.pool.server import Server
from dbproxy.session.correlation import name_sent
from dbproxy.session.identity import Identity

log = structlog.get_logger(__name__)


def follow_pins(
    client: Identity, server: Server, before: Mapping[str, float], now: float
) -> dict[str, float]:
    """The reasons why this client keeps the server now, each with since when; `before` are those until now.

    The log names the request behind which it was asked what was left: the last of its transaction.
    """
    request = server.loan.request
    asked = {**client.describe(), **(name_sent(request, client) if request is not None else {})}
    for reason in sorted(server.dialogue.traces.pins - before.keys()):
        server.pool.stats.pin_counts[reason] += 1
        log.info("client pinned", server=server.id, reason=reason, **asked)
    for reason in sorted(before.keys() - server.dialogue.traces.pins):
        log.info("client unpinned", server=server.id, reason=reason, **asked)
    return {reason: before.get(reason, now) for reason in server.dialogue.traces.pins}
