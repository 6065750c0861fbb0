"""Who may log in, and what is known of their passwords.

The file is PgBouncer's `userlist.txt`: a line for each user, `"name" "secret"`, where `""` stands for a
quote; what follows is ignored, and so are lines that begin with `;` or `#`. A secret is what PostgreSQL
stores (`md5…`, `SCRAM-SHA-256$…`) or the password itself.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from dbproxy.auth.md5 import is_md5_secret, make_md5_secret
from dbproxy.auth.scram import MECHANISM, parse_verifier
from dbproxy.errors import ConfigurationError

SecretKind = Literal["plain", "md5", "scram-sha-256"]
_LINE = re.compile(r'\s*"((?:[^"]|"")*)"\s+"((?:[^"]|"")*)"')
_IGNORED = re.compile(r"\s*([;#].*)?")


@dataclass(frozen=True, slots=True)
class Secret:
    """A password, or what PostgreSQL stores of one; never shown."""

    kind: SecretKind
    value: str = field(repr=False)

    @classmethod
    def stored(cls, text: str) -> "Secret":
        """The secret in a file, whose kind its text tells; ValueError if it is a broken SCRAM verifier."""
        if is_md5_secret(text):
            return cls("md5", text)
        if not text.startswith(f"{MECHANISM}$"):
            return cls("plain", text)
        if parse_verifier(text) is None:
            raise ValueError("malformed SCRAM secret")
        return cls("scram-sha-256", text)

    def fits(self, user: str, password: str) -> bool:
        """Whether this is the password, or what PostgreSQL stores of it for md5."""
        shown = make_md5_secret(user, password) if self.kind == "md5" else password
        return hmac.compare_digest(
            shown.encode("utf-8", "surrogateescape"), self.value.encode("utf-8", "surrogateescape")
        )


class Users(dict[str, Secret]):
    """The secret of each user who may log in. `apart`: of databases that are elsewhere, by who vouches for theirs."""

    def __init__(self, known: Mapping[str, Secret] = MappingProxyType({})) -> None:
        super().__init__(known)
        self.apart: dict[str, dict[str, Secret]] = {}

    def find(self, authority: str, user: str) -> Secret | None:
        """What is known where that authority vouches (`Authority.database`); None if there is no such user."""
        return self.apart.get(authority, {}).get(user) or self.get(user)

    def secrets(self) -> list[tuple[str, Secret]]:
        """All there are, each with its user."""
        return [item for users in (self, *self.apart.values()) for item in users.items()]

    @classmethod
    def parse(cls, text: str, source: str) -> "Users":
        """The users in a file's text; `source` names the file in errors. The later of two lines counts."""
        users = cls()
        for number, line in enumerate(text.split("\n"), start=1):
            if not _IGNORED.fullmatch(line):
                name, secret = _parse_line(line, f"{source}:{number}")
                users[name] = secret
        return users

    def add(self, user: str, password: str) -> None:
        """A user whose password is known, as from a URL."""
        self[user] = Secret("plain", password)


def _parse_line(line: str, where: str) -> tuple[str, Secret]:
    match = _LINE.match(line)
    if not match:
        raise ConfigurationError(
            f"{where}: not a user", hint='A line is "user" "secret", both in double quotes.'
        )
    user, secret = (part.replace('""', '"') for part in match.groups())
    if not user:
        raise ConfigurationError(f"{where}: the user name is empty")
    try:
        return user, Secret.stored(secret)
    except ValueError as error:
        hint = "Copy it whole from pg_authid.rolpassword: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey."
        raise ConfigurationError(
            f"{where}: the SCRAM secret of user {user!r} is malformed", hint=hint
        ) from error
