"""Deadlines of logins, clients and hubs: numbers that the janitor compares a few times a second."""

from dbproxy.config.settings import Settings
from dbproxy.errors import AdminShutdown, LoginTimeout, ProtocolViolation, ProxyError
from dbproxy.session.channels import quote
from dbproxy.session.client import Client
from dbproxy.session.hub import Hub
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login

AT_ONCE = 100  # disconnected in one sweep
STALL_LIMIT = 300.0  # seconds that a client may leave an answer unread while it holds a server
UNUSED_LIMIT = 10.0  # seconds until a channel that nobody listens to is given up
RELEASE_AFTER = 60.0  # seconds without channels until a hub's connection is closed


def sweep_logins(registry: Registry, settings: Settings, now: float) -> bool:
    """Disconnect who is over a limit, `AT_ONCE` at most; whether there may be more of them.

    Each farewell costs 0.1 ms in which nobody is served: a flood of logins that say nothing is over all at once.
    """
    ended = 0
    for login in registry:
        if end_if_over(login, settings, now):
            ended += 1
            if ended == AT_ONCE:
                return True
    return False


def end_if_over(login: Login, settings: Settings, now: float) -> bool:
    login_timeout = settings.pool.client_login_timeout
    if login.client is not None:
        error = judge(login.client, now)
        if error is not None:
            login.client.disconnect(error.message, error)
            if login.client.full and login.transport is not None:
                login.transport.abort()  # who reads nothing does not read this either
        return error is not None
    if login.console is None and login_timeout and now - login.connected_at >= login_timeout:
        login.refuse(LoginTimeout(f"client_login_timeout: not logged in within {login_timeout:g} s"))
        return True
    return False


def judge(client: Client, now: float) -> ProxyError | None:
    """Why this client has to go now, if it has."""
    limits = client.pool.settings
    if client.stranded():
        return ProtocolViolation("unexpected EOF on client connection")
    if client.stalled_since and client.server is not None and now - client.stalled_since >= STALL_LIMIT:
        return AdminShutdown(f"terminating connection: its answer was not read for {STALL_LIMIT:g} s")
    if client.parked or (client.server is not None and not client.server.dialogue.only_ours()):
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
    if hub.server is None or hub.pool is None:
        return
    settings = hub.pool.settings
    quiet = now - max(hub.heard_at, hub.asked_at)
    if hub.sent and settings.server_connect_timeout and quiet >= settings.server_connect_timeout:
        hub.server.close("no answer to a check or LISTEN")
    elif not hub.sent and settings.server_check_delay and quiet >= settings.server_check_delay:
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
