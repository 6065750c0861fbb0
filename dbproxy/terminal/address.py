"""Where the console is, and who asks there: told on the command line, or by the settings that the proxy has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbproxy.auth.users import Secret, Users
from dbproxy.config import Settings
from dbproxy.errors import ConfigurationError

DATABASE = "pgbouncer"  # that name every console has
LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104  # where it listens
GROUP_OR_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is the folder of a Unix socket if it begins with `/`."""

    host: str
    port: int
    user: str
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.host.startswith("/"):
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
    user = user or next(iter((*settings.auth.admin_users, *settings.auth.stats_users)), "")
    if not user:
        raise ConfigurationError(
            "nobody may use the console: auth.admin_users and auth.stats_users are empty",
            hint="List a user there, or name one with --user.",
        )
    port = port or listen.port
    return Address(host, port, user, find_password(settings, environ, Address(host, port, user)))


def find_password(settings: Settings, environ: Mapping[str, str], address: Address) -> str | None:
    """PGPASSWORD, then the file of passwords, then the proxy's own users; None if it is in none of them."""
    if "PGPASSWORD" in environ:
        return environ["PGPASSWORD"]
    listed = read_password_file(environ, address)
    if listed is not None:
        return listed
    for host in settings.hosts().values():
        if host.user == address.user and host.password.get_secret_value():
            return host.password.get_secret_value()
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


def read_password_file(environ: Mapping[str, str], address: Address) -> str | None:
    """By PGPASSFILE or ~/.pgpass, as libpq reads it: the first line that fits, unless others may read the file."""
    home = environ.get("HOME", "")
    path = Path(environ.get("PGPASSFILE") or Path(home, ".pgpass"))
    try:
        if path.stat().st_mode & GROUP_OR_OTHERS:
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    host = "localhost" if address.host.startswith("/") else address.host
    wanted = (host, str(address.port), DATABASE, address.user)
    for line in lines:
        *names, password = [_unescape(part) for part in re.split(r"(?<!\\):", line, maxsplit=4)]
        if len(names) == 4 and all(name in ("*", value) for name, value in zip(names, wanted, strict=True)):
            return password
    return None


def _unescape(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)
