"""Where jobs find the primary: the hosts that the settings name, as the proxy itself reaches them."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dbproxy.app.encryption import Encryption
from dbproxy.app.passwords import Passwords
from dbproxy.config import Host, Settings
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.jobs.pressure.guard import Guard
from dbproxy.jobs.pressure.proxy import ProxyLooks, find_proxy
from dbproxy.jobs.pressure.server import ServerLooks
from dbproxy.jobs.primary import Primary

if TYPE_CHECKING:
    from dbproxy.jobs.pressure.replicas import ReplicaLooks


def find_primary(settings: Settings, url: Host | None, database: str) -> Primary:
    """Of `url` alone if it is given; else any host may be it, as a replica may have been promoted."""
    encryption, passwords = Encryption(settings), Passwords()

    async def complete(host: Host) -> Host:
        keys = settings.password_for(database, host.user)
        return host if keys is None else replace(host, password=SecretStr(await passwords.read(keys)))

    if url is not None:
        return Primary(url.each(), encryption.towards)
    first = settings.server_for(database or default_database(settings))
    listed = settings.listed(database)
    others = settings.replicas if listed is None or listed.primary.url is None else ()
    return Primary(
        (*first.each(), *(enter(one, first) for replica in others for one in replica.hosts())),
        encryption.towards,
        complete,
    )


def make_guard(
    settings: Settings, primary: Primary, table: Callable[[], str], *, alone: bool, database: str
) -> Guard:
    """What a job heeds; `table`: that it works on, once that is known.

    `alone`: it was given by its URL, so that the proxy and the replicas of the settings may be others' than its own.
    """
    listed = settings.listed(database)
    followed = not alone and (listed is None or listed.primary.url is None)
    known = "" if alone else database or default_database(settings)

    def find(wanted: ThrottleSettings) -> ProxyLooks | None:
        return None if alone and not wanted.proxy else find_proxy(wanted, settings.http, known)

    replicas = make_replica_looks(settings, primary) if settings.replicas and followed else None
    return Guard(settings.batch.throttle, ServerLooks(primary, table), find, replicas)


def make_replica_looks(settings: Settings, primary: Primary) -> "ReplicaLooks":
    from dbproxy.jobs.pressure.replicas import ReplicaLooks  # a whole cluster: only where there is one

    return ReplicaLooks(settings, primary)


def enter(host: Host, login: Host) -> Host:
    """The same database, as the same user, at another host."""
    return replace(host, user=login.user, password=login.password, dbname=login.dbname)


def default_database(settings: Settings) -> str:
    url = settings.primary.url
    return "" if url is None else url.dbname or url.user
