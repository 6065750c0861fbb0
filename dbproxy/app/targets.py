"""Where a connection to a server may go, and as whom: for pools, for those who replicate, and for our own streams."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from dbproxy.app.admissions import Admissions
from dbproxy.app.hosts import Hosts
from dbproxy.auth.server_login import Credentials
from dbproxy.config import Host
from dbproxy.net.dial import Way
from dbproxy.pool.choice import list_wishes
from dbproxy.pool.login import Opened, Target, open_any
from dbproxy.pool.pool import Pool


class Targets:
    """By the settings, the users and the hosts that there are now.

    What is found is in the order in which to try it. ConfigurationError if there is no password, ServerUnavailable
    while there is no host.
    """

    def __init__(self, admissions: Admissions, hosts: Hosts) -> None:
        self.admissions = admissions
        self.hosts = hosts

    async def find(self, pool: Pool, parameters: Mapping[str, str]) -> list[Target]:
        """For the pool's next connection."""
        credentials = await self.find_credentials(pool.database, pool.user)
        url = self.hosts.address_of(pool)
        leads = pool.host is None and self.hosts.chooses(pool.database)
        wishes = ("primary",) if leads else list_wishes(url.attrs)
        return self.order(url, wishes, pool.database, pool.user, credentials, parameters)

    async def open_beside(
        self,
        database: str,
        user: str,
        url: Host,
        parameters: Mapping[str, str],
        make: Callable[[], Opened],
        attrs: str = "",
    ) -> Opened:
        """A connection that is no pool's, to one of the URL's hosts; `attrs`: other than those that the URL has."""
        credentials = await self.find_credentials(database, user)
        targets = self.order(url, list_wishes(attrs or url.attrs), database, user, credentials, parameters)
        admissions = self.admissions
        timeout = admissions.settings.pool_for(database, user).server_connect_timeout
        return await open_any(targets, make, admissions.authenticator.keys, self.hosts.standing, timeout)

    async def find_credentials(self, database: str, user: str) -> Credentials:
        admissions = self.admissions
        return await admissions.passwords.find(admissions.settings, admissions.access.users, database, user)

    def order(
        self,
        url: Host,
        wishes: Sequence[str],
        database: str,
        user: str,
        credentials: Credentials,
        parameters: Mapping[str, str],
    ) -> list[Target]:
        """All hosts for the first wish, then all for the next."""
        hosts = url.each()
        standing = self.hosts.standing
        order = standing.order([host.address for host in hosts], monotonic(), shuffles=url.balances)
        aimed = [self.aim(hosts[at], database, user, credentials, parameters) for at in order]
        return [replace(target, attrs=attrs) for attrs in wishes for target in aimed]

    def aim(
        self, host: Host, database: str, user: str, credentials: Credentials, parameters: Mapping[str, str]
    ) -> Target:
        """At a host, as this user."""
        admissions = self.admissions
        return Target(
            host=host.host,
            port=host.port,
            address=host.address,
            database=host.dbname,
            user=user,
            credentials=credentials,
            renew=admissions.passwords.renewal(admissions.settings.password_for(database, user)),
            parameters={**dict(host.startup), **parameters},
            tls=self.hosts.find_tls(host),
            require_auth=host.tls.require_auth,
            way=Way(host.hostaddr, host.socket_options, host.balances),
            timeout=host.connect_timeout,
            minors=host.minors,
        )
