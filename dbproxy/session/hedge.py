"""A read that leaves a replica which has not begun to answer it, and is sent to another host (routing.hedging)."""

from dbproxy.cluster.balancer import observe
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.pool import Pool
from dbproxy.pool.request import find_oldest
from dbproxy.pool.server import Server
from dbproxy.routing.hedging import SlowReads
from dbproxy.routing.rescue import HEDGED
from dbproxy.session.client import Client
from dbproxy.session.wait import MOVE, NOT, REFUSED, SERVER
from dbproxy.sql.identity import Shape

# What is not answered counts as so many times what was waited for it: balancing keeps off the host for some seconds.
UNANSWERED = 10.0


def is_owed(client: Client, server: Server, since: float) -> bool:
    """Whether the replica owes the client since then the first byte of what can be sent again elsewhere."""
    route, pipeline = client.route, server.dialogue.pipeline
    inbound = client.inbound
    if route.host is None or inbound.framer.left or inbound.wait not in (NOT, MOVE):
        return False
    if pipeline.only_ours() or not route.may_go_on(server, told=server.relay.inside_message()):
        return False
    request = find_oldest(pipeline)
    asked = request.arrived if request is not None else inbound.arrived
    return max(asked, server.loan.answered_at) <= since


def is_kept_waiting(client: Client) -> bool:
    """Whether the client waits for a server of a replica, where another host would do."""
    return client.inbound.wait == SERVER and client.route.host is not None and client.routed


def may_hedge(client: Client, now: float) -> bool:
    """Whether another host may be asked only for being faster: once, and not for what takes long anywhere."""
    return not client.route.detours and not slow_reads(client).has(find_read(client), now)


def slow_reads(client: Client) -> SlowReads:
    """Those of its database and user."""
    slow: SlowReads = client.route.judge.router.rescues.slow  # type: ignore[union-attr]  # there is a router
    return slow


def find_read(client: Client) -> Shape:
    """The one that is not answered."""
    batch, server = client.route.batch, client.server
    return batch.failing(batch.answered if server is None else server.loan.served)


def leave(client: Client, server: Server, reason: str, now: float) -> None:
    """What the replica has not begun to answer is asked of another host."""
    route = client.route
    host = route.host
    assert host is not None
    route.note_rescue(server, host, reason)
    route.reader.avoided = host
    route.reader.waited = True  # long enough: nor for another replica to be fresh
    route.detours += 1
    began = server.loan.answered_at
    data = route.rescue(server)
    server.desert("another host was faster" if reason == HEDGED else "the host does not answer")
    client.free(PARTNER_FULL)
    observe(host, UNANSWERED * (now - began), now)
    route.send_again(data)


def leave_queue(client: Client, pool: Pool, reason: str, now: float) -> None:
    """The client waits no more for a server of this replica."""
    route = client.route
    host = route.host
    assert host is not None
    pool.leave(client)
    route.reader.waited = True
    route.turn_away(host, reason)
    observe(host, UNANSWERED * (now - client.inbound.arrived), now)
    client.resume(REFUSED)
