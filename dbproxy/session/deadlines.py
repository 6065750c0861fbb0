"""Deadlines of logins, clients and hubs: numbers that the janitor compares a few times a second."""

import structlog

from dbproxy.config.settings import Settings
from dbproxy.errors import AdminShutdown, LoginTimeout, ProxyError
from dbproxy.session.channels import quote
from dbproxy.session.client import Client
from dbproxy.session.hub import Hub
from dbproxy.session.overdue import end
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login

log = structlog.get_logger(__name__)

AT_ONCE = 100  # disconnected in one sweep
STALL_LIMIT = 300.0  # seconds that a client may leave an answer unread while it holds a server
FLUSH_AFTER = 0.5  # seconds after which a batch that lacks its Sync is asked for what it has done
LIMITS = {"25P03": "idle_transaction_timeout", "57P05": "client_idle_timeout"}  # by SQLSTATE
UNUSED_LIMIT = 10.0  # seconds until a channel that nobody listens to is given up
RELEASE_AFTER = 60.0  # seconds without channels until a hub's connection is closed


def sweep_logins(registry: Registry[Login], settings: Settings, now: float) -> bool:
    """Disconnect who is over a limit, `AT_ONCE` at most; whether there may be more of them.

    Each farewell costs 0.1 ms in which nobody is served: a flood of logins that say nothing is over all at once.
    """
    ended = 0
    for login in registry:
        try:
            ended += end_if_over(login, settings, now)
        except Exception:  # a bug in one deadline costs nobody else theirs
            log.exception("internal error", client=login.identity.id)
        if ended == AT_ONCE:
            return True
    return False


def end_if_over(login: Login, settings: Settings, now: float) -> bool:
    login_timeout = settings.pool.client_login_timeout
    if login.client is not None:
        return end_client(login.client, now)
    if login.heir is None and login_timeout and now - login.identity.connected_at >= login_timeout:
        login.refuse(LoginTimeout(f"client_login_timeout: not logged in within {login_timeout:g} s"))
        return True
    return False


def end_client(client: Client, now: float) -> bool:
    if client.stranded():
        client.depart()  # without a word, as PostgreSQL does
        return True
    error = judge(client, now)
    if error is not None:
        end(client, LIMITS.get(error.sqlstate, "stalled"), error)
    elif is_stuck(client, now):
        client.lending.flush()
    return error is not None


def is_stuck(client: Client, now: float) -> bool:
    """Whether to ask how far the server is with half a batch, for `idle_transaction_timeout`."""
    limits = client.pool.settings
    if limits.idle_transaction_timeout <= 0 or now - client.inbound.arrived < FLUSH_AFTER:
        return False
    return client.lending.lacks_flush()


def judge(client: Client, now: float) -> ProxyError | None:
    """Why this client has to go now, if it has."""
    limits = client.pool.settings
    if client.stalled_since and client.server is not None and now - client.stalled_since >= STALL_LIMIT:
        return AdminShutdown(f"terminating connection: its answer was not read for {STALL_LIMIT:g} s")
    if not client.is_silent():
        return None
    idle = now - client.last_active()
    if not client.is_idle():
        timeout = limits.idle_transaction_timeout
        if timeout and idle >= timeout:
            return AdminShutdown(
                "terminating connection due to idle-in-transaction timeout", sqlstate="25P03"
            )
    elif limits.client_idle_timeout and idle >= limits.client_idle_timeout:
        return AdminShutdown("terminating connection due to idle-session timeout", sqlstate="57P05")
    return None


def sweep_hub(hub: Hub, now: float) -> None:
    """Once a second: give up what nobody uses, ask again for what is missing."""
    unused = hub.subscriptions.take_unused(now, UNUSED_LIMIT)
    hub.run([(f"UNLISTEN {quote(channel.name)}", None) for channel in unused])
    hub.renew()
    if hub.channels:
        hub.unneeded_since = 0.0
        hub.listen(hub.channels.values())
        check_hub(hub, now)
    else:
        release_hub(hub, now)


def check_hub(hub: Hub, now: float) -> None:
    """A connection that is only heard on may be dead without a word: ask it now and then."""
    receiver = hub.receiver
    if receiver is None or hub.pool is None:
        return
    settings = hub.pool.settings
    quiet = now - receiver.quiet_since()
    if receiver.sent and settings.server_connect_timeout and quiet >= settings.server_connect_timeout:
        receiver.server.close("no answer to a check or LISTEN")
    elif not receiver.sent and settings.server_check_delay and quiet >= settings.server_check_delay:
        hub.run([("", None)])


def release_hub(hub: Hub, now: float) -> None:
    """Nobody listens: after a while the connection is closed, and its pool forgotten."""
    if hub.pool is not None:
        hub.pool.leave(hub)
    if not hub.unneeded_since:
        hub.unneeded_since = now
    elif now - hub.unneeded_since >= RELEASE_AFTER:
        if hub.server is not None:
            hub.server.close("nobody listens")
        if hub.pool is not None and hub.pool.forgettable(now):
            hub.pool = None
