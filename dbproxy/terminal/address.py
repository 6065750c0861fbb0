"""Where the console is, and who asks there: told on the command line, or by the settings that the proxy has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbproxy.auth.users import Secret, Users
from dbproxy.config import Settings
from dbproxy.config.passfile import find_passfile, look_up
from dbproxy.errors import ConfigurationError
from dbproxy.terminal.encryption import PREFERRED, Wish, read_wish

DATABASE = "pgbouncer"  # that name every console has
LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104  # where it listens


@dataclass(frozen=True, slots=True)
class Address:
    """`host`: a Unix socket's folder if it begins with `/`, or with `@` (abstract); `tls`: for all others."""

    host: str
    port: int
    user: str
    password: str | None = field(default=None, repr=False)
    tls: Wish = PREFERRED

    @property
    def is_unix(self) -> bool:
        return self.host.startswith(("/", "@"))

    def __str__(self) -> str:
        if self.is_unix:
            return f"{self.host}/.s.PGSQL.{self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_address(
    settings: Settings, environ: Mapping[str, str], *, host: str = "", port: int = 0, user: str = ""
) -> Address:
    """What is not given is what the proxy's own settings say. ConfigurationError if there is nobody to ask as."""
    listen = settings.listen
    if not host:
        listed = next(iter(listen.host), None)
        host = listen.unix_socket_dir if listed is None else LOCAL.get(listed, listed)
    user = user or choose_user(settings)
    if not user:
        raise ConfigurationError(
            "nobody may use the console: auth.admin_users and auth.stats_users are empty",
            hint="List a user there, or name one with --user.",
        )
    port = port or listen.port
    password = find_password(settings, environ, Address(host, port, user))
    return Address(host, port, user, password, read_wish(environ))


def choose_user(settings: Settings) -> str:
    """Who may use the console; of those that are named nowhere but by default, one whose password is known."""
    url = settings.primary.url
    if url is not None and url.password.get_secret_value() and settings.may_administer(url.user, local=True):
        listed = set(settings.auth.admin_users) & _read_users(settings).keys()
        return next(iter(sorted(listed)), url.user)
    return next(iter((*settings.auth.admin_users, *settings.auth.stats_users)), "")


def find_password(settings: Settings, environ: Mapping[str, str], address: Address) -> str | None:
    """PGPASSWORD, then the file of passwords, then the proxy's own users; None if it is in none of them."""
    if "PGPASSWORD" in environ:
        return environ["PGPASSWORD"]
    listed = look_up(find_passfile(environ), address.host, address.port, DATABASE, address.user)
    if listed is not None:
        return listed
    for host in settings.hosts().values():
        if host.user == address.user and host.password.get_secret_value():
            return host.password.get_secret_value()
    listed_user = settings.users.get(address.user)
    if listed_user is not None and listed_user.password.get_secret_value():
        return listed_user.password.get_secret_value()
    secret = _read_users(settings).get(address.user)
    return secret.value if secret is not None and secret.kind == "plain" else None


def _read_users(settings: Settings) -> Mapping[str, Secret]:
    """Those of `auth.file`; who may not read it is asked for no more than a password."""
    if settings.auth.file is None:
        return {}
    try:
        return Users.parse(settings.auth.file.read_text(encoding="utf-8"), str(settings.auth.file))
    except (OSError, UnicodeDecodeError):
        return {}
