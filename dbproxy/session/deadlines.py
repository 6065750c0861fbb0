"""Deadlines of logins and clients: numbers that the janitor compares a few times a second."""

from dbproxy.config.settings import Settings
from dbproxy.errors import AdminShutdown, LoginTimeout, ProtocolViolation, ProxyError
from dbproxy.session.client import Client
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login

AT_ONCE = 100  # disconnected in one sweep
STALL_LIMIT = 300.0  # seconds that a client may leave an answer unread while it holds a server


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
    if client.parked or (client.server is not None and not client.server.pipeline.only_ours()):
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
