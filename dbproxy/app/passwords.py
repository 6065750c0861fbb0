"""What servers are logged in to with: passwords of the settings, of files and commands, and what clients have shown.

A file is read for each connection, so that a password that was changed there counts at once. A command, which may ask a
cloud for a token, is run beside everything, once for all who need it, and again when its word is old or was refused.
"""

import asyncio
import shlex
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from dbproxy.auth.scram import Keys
from dbproxy.auth.server_login import Credentials
from dbproxy.auth.users import Secret, Users
from dbproxy.config import Settings
from dbproxy.config.sections import PasswordKeys
from dbproxy.errors import ConfigurationError
from dbproxy.observe.masking import mask_words

COMMAND_TIMEOUT = 30.0  # seconds
LONGEST = 65536  # bytes of a password
SHOWN = 200  # characters of what a command complains of


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and when."""

    password: str = field(repr=False)
    at: float


class Passwords:
    """By database and user. `learned`: what clients have shown of theirs, by who vouched for it and the user."""

    def __init__(self) -> None:
        self.learned: dict[tuple[str, str], Keys | Secret] = {}
        self.printed: dict[str, Printed] = {}
        self.locks: dict[str, asyncio.Lock] = {}

    async def find(self, settings: Settings, users: Users, database: str, user: str) -> Credentials:
        """ConfigurationError if a file or command gives none."""
        keys = settings.password_for(database, user)
        if keys is not None:
            return Secret("plain", await self.read(keys))
        authority = name_of(settings, database)
        return choose(users.find(authority, user), self.learned.get((authority, user)))

    def learn(self, settings: Settings, database: str, user: str, shown: Keys | Secret) -> None:
        self.learned[name_of(settings, database), user] = shown

    async def read(self, keys: PasswordKeys) -> str:
        if keys.password_file is not None:
            return await asyncio.to_thread(read_password, keys.password_file)
        if keys.password_command:
            return await self.run(keys.password_command, keys.password_lifetime)
        return keys.password.get_secret_value()

    async def run(self, command: str, lifetime: float) -> str:
        """What the command prints, or has printed lately."""
        async with self.locks.setdefault(command, asyncio.Lock()):
            printed = self.printed.get(command)
            if printed is None or monotonic() >= printed.at + lifetime:
                printed = Printed(await asyncio.to_thread(run_command, command), monotonic())
                self.printed[command] = printed
            return printed.password

    def renewal(self, keys: PasswordKeys | None) -> Callable[[], Awaitable[Secret | None]] | None:
        """For a login that begins now: what gives a newer password than it has, should a server refuse that."""
        return partial(self.renew, keys, monotonic()) if keys is not None and keys.password_command else None

    async def renew(self, keys: PasswordKeys, began: float) -> Secret:
        """What the command prints now, unless another has run it since `began`."""
        printed = self.printed.get(keys.password_command)
        if printed is not None and printed.at <= began:
            del self.printed[keys.password_command]
        return Secret("plain", await self.read(keys))


def choose(listed: Secret | None, shown: Keys | Secret | None) -> Credentials:
    """The one that opens most: a password, then a hash of md5, then keys of SCRAM; a verifier opens nothing."""
    for known in (listed, shown):
        if isinstance(known, Secret) and known.kind == "plain":
            return known
    return listed if shown is None or (listed is not None and listed.kind == "md5") else shown


def name_of(settings: Settings, database: str) -> str:
    """Of who vouches for the database's users: each has passwords of its own."""
    return settings.authority_for(database).database


def read_password(path: Path) -> str:
    """The first line of the file."""
    try:
        with path.open(encoding="utf-8") as file:
            password = file.readline(LONGEST).rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        password = ""
    if not password:
        raise ConfigurationError(f"{path}: its first line has to be the password")
    return password


def run_command(command: str) -> str:
    """The first line that it prints. Nothing of it is in an error; what it complains of is for the log."""
    name = shlex.split(command)[0]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise ConfigurationError(f"password_command: {name} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"password_command: {name} took longer than {COMMAND_TIMEOUT:g} s") from None
    if done.returncode:
        complaint = mask_words(done.stderr[-LONGEST:].decode(errors="replace").strip())[-SHOWN:]
        failed = ConfigurationError(f"password_command: {name} failed ({done.returncode})")
        failed.detail_log = complaint
        raise failed
    password = done.stdout[:LONGEST].decode(errors="replace").partition("\n")[0].rstrip("\r")
    if not password:
        raise ConfigurationError(f"password_command: {name} has printed no password")
    return password
