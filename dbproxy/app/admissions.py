"""All that the admission of clients needs: who may log in, what is known of them and by whom, and what they show."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog
from pydantic import SecretStr

from dbproxy.app.access import read_access
from dbproxy.app.lookups import Lookups, MakePool
from dbproxy.app.passwords import Passwords, name_of
from dbproxy.auth.access import Access
from dbproxy.auth.client_login import Authenticator, AuthType, find_usual
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.query import Answer
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Secret
from dbproxy.config import Host, Settings
from dbproxy.errors import ConfigurationError
from dbproxy.net.host_names import HostNames

log = structlog.get_logger(__name__)


class Admissions:
    """Implements `session.admission.Admitting`."""

    def __init__(
        self,
        settings: Settings,
        keys: KeyCache,
        make_pool: MakePool,
        spawn: Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"],
    ) -> None:
        """ConfigurationError if a file of the settings has mistakes."""
        self.settings = settings
        self.access = read_access(settings)
        self.authenticator = Authenticator(keys)
        self.lookups = Lookups(settings, make_pool, spawn)
        self.host_names = HostNames()
        self.passwords = Passwords()

    def apply(self, settings: Settings, access: Access) -> None:
        """Other settings, and what was read by them."""
        self.settings, self.access = settings, access
        self.lookups.apply(settings)

    async def prepare(self) -> None:
        """Derive every user's keys before the first login asks: who had to wait would tell of itself."""
        users, keys = self.access.users.secrets(), self.authenticator.keys
        keys.size = max(keys.size, 2 * len(users))  # a user's to us, and as the user to a server
        self.authenticator.usual = find_usual(self.access.users)
        if self.settings.auth.type not in ("trust", "cert", "peer"):
            for user, secret in users:
                await asyncio.to_thread(self.authenticator.prepare, user, secret)

    async def complete(self, host: Host) -> Host:
        """For a probe: with the password of its user, where that is a file's or a command's.

        A host is not lost for want of one: PostgreSQL refuses the probe then, and lives.
        """
        keys = self.settings.password_for("", host.user)
        if keys is None:
            return host
        try:
            return replace(host, password=SecretStr(await self.passwords.read(keys)))
        except ConfigurationError as error:
            log.warning("probe has no password", user=host.user, reason=error.message)
            return host

    # --- session.admission.Admitting ---

    def find_usual(self, database: str) -> AuthType:
        """By which method most log in there under `md5`: so do those who do not exist."""
        asks = self.settings.authority_for(database).user
        return "scram-sha-256" if asks else self.authenticator.usual

    def find_known(self, database: str, user: str) -> Secret | None:
        return self.access.users.find(name_of(self.settings, database), user)

    async def find_secret(self, database: str, user: str) -> Answer:
        return await self.lookups.find_secret(database, user)

    async def find_roles(self, database: str, user: str) -> frozenset[str]:
        return await self.lookups.find_roles(database, user)

    async def find_host_name(self, address: str) -> str:
        found = self.host_names.find(address)  # by a task of its own, as it has a time limit
        return await asyncio.get_running_loop().create_task(found)

    def learn(self, database: str, user: str, shown: Keys | Secret) -> None:
        self.passwords.learn(self.settings, database, user, shown)

    def doubt(self, database: str, user: str) -> None:
        self.lookups.doubt(database, user)
