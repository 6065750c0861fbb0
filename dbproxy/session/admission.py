"""Whether a client is let in, and how it proves who it is: the rule for it, then that rule's method (slow lane).

PostgreSQL: "Client Authentication". What a client is told is what PostgreSQL would tell it; why it is so, and whether
there is such a user at all, is for our log alone (`detail_log`).
"""

import asyncio
import pwd
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from dbproxy.auth.access import Access
from dbproxy.auth.client_login import Authenticator, AuthType, is_too_slow
from dbproxy.auth.hba import Caller, Method, Rule, Wanted, find_rule, refuse
from dbproxy.auth.ident import may_be, needs_roles
from dbproxy.auth.query import Answer
from dbproxy.auth.scram import MOST_ITERATIONS, Keys
from dbproxy.auth.users import Secret
from dbproxy.errors import InvalidAuthorization, InvalidPassword
from dbproxy.net.interfaces import list_interfaces
from dbproxy.net.peer import Peer
from dbproxy.session.authentication import authenticate
from dbproxy.session.identity import Identity
from dbproxy.session.inbox import Inbox

BY_PASSWORD: dict[Method, AuthType] = {
    "password": "password",
    "md5": "md5",
    "scram-sha-256": "scram-sha-256",
}


class Admitting(Protocol):
    """What an admission needs of the proxy (app.admissions)."""

    @property
    def access(self) -> Access: ...
    @property
    def authenticator(self) -> Authenticator: ...
    def find_usual(self, database: str) -> AuthType: ...
    def find_known(self, database: str, user: str) -> Secret | None: ...
    async def find_secret(self, database: str, user: str) -> Answer: ...
    async def find_roles(self, database: str, user: str) -> frozenset[str]: ...
    async def find_host_name(self, address: str) -> str: ...
    def learn(self, database: str, user: str, shown: Keys | Secret) -> None: ...
    def doubt(self, database: str, user: str) -> None: ...


async def admit(
    house: Admitting,
    who: Identity,
    inbox: Inbox,
    send: Callable[[bytes], None],
    *,
    replication: bool = False,
) -> None:
    """Return once the client has shown who it is; InvalidAuthorization or InvalidPassword if it has not.

    `replication`: it is after the WAL, and of no database.
    """
    peer = who.peer
    address = who.address if who.port else ""
    caller = Caller(who.user, who.database, address, encrypted=peer.encrypted, replication=replication)
    rule, caller = await decide(house, caller)
    if (rule.certificate or rule.method == "cert") and not peer.verified:
        raise InvalidAuthorization("connection requires a valid client certificate")
    if rule.method == "peer":
        await check_name(house, rule, caller, await find_unix_user(peer), "Peer authentication")
    elif rule.method in BY_PASSWORD:
        await prove(house, rule, caller, peer, inbox, send)
    if rule.method == "cert" or rule.certificate == "verify-full":
        name = peer.dn if rule.names == "DN" else peer.common_name
        await check_name(house, rule, caller, name, "certificate authentication")


async def decide(house: Admitting, caller: Caller) -> tuple[Rule, Caller]:
    """The rule for this client, and what had to be found out of it; InvalidAuthorization if it is let in by none."""
    access = house.access
    if access.rules is None:
        return Rule("auth.type", access.method), caller
    while isinstance(found := find_rule(access.rules, caller), Wanted):
        if found is Wanted.ROLES:
            caller = await know_roles(house, caller)
        elif found is Wanted.OWN:
            caller = replace(caller, own=tuple(list_interfaces()))
        else:
            caller = replace(caller, host_name=await house.find_host_name(caller.address))
    if found is None or found.method == "reject":
        error = refuse(found, caller)
        error.detail_log = f"decided by {found.where}" if found is not None else "no line is for it"
        raise error
    return found, caller


async def know_roles(house: Admitting, caller: Caller) -> Caller:
    return replace(caller, roles=await house.find_roles(caller.database, caller.user))


async def prove(
    house: Admitting,
    rule: Rule,
    caller: Caller,
    peer: Peer,
    inbox: Inbox,
    send: Callable[[bytes], None],
) -> None:
    """By a password."""
    if (
        rule.method == "password"
        and caller.address
        and not peer.encrypted
        and not house.access.allow_cleartext
    ):
        raise InvalidAuthorization(
            "password authentication needs an encrypted connection or a Unix socket",
            hint="Connect with sslmode=require; or let the administrator use scram-sha-256, or set "
            "auth.allow_cleartext.",
        )
    known = house.find_known(caller.database, caller.user)
    answer = Answer(known) if known is not None else await house.find_secret(caller.database, caller.user)
    secret = answer.secret
    usual = house.find_usual(caller.database)
    exchange = house.authenticator.begin(BY_PASSWORD[rule.method], caller.user, secret, peer.binding, usual)
    try:
        keys = await authenticate(exchange, inbox, send)
    except InvalidPassword as error:
        error.detail_log = f"{explain(rule, answer)}; decided by {rule.where}"
        house.doubt(caller.database, caller.user)
        raise
    if isinstance(keys, Keys) and secret is not None and secret.kind == "plain":
        keys = None  # they are of our own salt, and open no server
    if keys is not None:
        house.learn(caller.database, caller.user, keys)
    elif secret is not None and known is None:
        house.learn(caller.database, caller.user, secret)


def explain(rule: Rule, answer: Answer) -> str:
    """Why the password was wrong: for our log."""
    secret = answer.secret
    if secret is None:
        return answer.why
    if secret.kind == "md5" and rule.method == "scram-sha-256":
        return "only the md5 hash of the password is known, with which nobody can log in by scram-sha-256"
    if rule.method == "password" and is_too_slow(secret):
        return f"its SCRAM verifier takes more than {MOST_ITERATIONS} iterations: set the password again, with less"
    return "the password is wrong"


async def check_name(house: Admitting, rule: Rule, caller: Caller, name: str, what: str) -> None:
    """Whether who is known by this name may log in as the user."""
    if caller.roles is None and needs_roles(house.access.maps, rule.map):
        caller = await know_roles(house, caller)
    if may_be(house.access.maps, rule.map, name, caller):
        return
    error = InvalidAuthorization(f'{what} failed for user "{caller.user}"')
    by = f'by map "{rule.map}"' if rule.map else "without a map"
    error.detail_log = f'authenticated as "{name}", who may not be that user {by}; decided by {rule.where}'
    raise error


async def find_unix_user(peer: Peer) -> str:
    """The system's name of who has the other end of a Unix socket; empty if there is none."""
    uid = peer.unix_uid
    if uid is None:
        return ""
    try:
        return (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
    except KeyError:
        return ""
