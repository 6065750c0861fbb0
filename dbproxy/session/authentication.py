"""A client shows who it is: the steps of `auth.client_login`, played over its connection (slow lane)."""

import asyncio
from collections.abc import Callable

from dbproxy.auth.client_login import ClientLogin, Done, Step
from dbproxy.auth.exchange import Work
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Secret
from dbproxy.errors import ProtocolViolation
from dbproxy.session.inbox import Inbox
from dbproxy.wire import build

PASSWORD_LIMIT = 65535  # PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH


async def authenticate(
    exchange: ClientLogin, inbox: Inbox, send: Callable[[bytes], None]
) -> Keys | Secret | None:
    """What the client has shown of its password, if anything; InvalidPassword or ProtocolViolation if not let in."""
    step: Step = exchange.start()
    while not isinstance(step, Done):
        if isinstance(step, Work):
            step = await asyncio.to_thread(step.run)
        else:
            send(build.authentication(step.code, step.payload))
            step = exchange.receive(await read_password(inbox))
    if step.last is not None:
        send(build.authentication(step.last.code, step.last.payload))
    return step.keys


async def read_password(inbox: Inbox) -> bytes:
    """The payload of a password message ('p')."""
    header = await inbox.read(5)
    if header[0] != ord("p"):
        raise ProtocolViolation(f"expected password response, got message type {header[0]}")
    length = int.from_bytes(header[1:], "big") - 4
    if not 0 <= length <= PASSWORD_LIMIT:
        raise ProtocolViolation("invalid password packet size")
    return await inbox.read(length)
