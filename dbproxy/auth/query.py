"""What a server says of a user's password (PgBouncer's `auth_query`), and for how long that counts.

An answer counts briefly, so that a storm of logins asks once; that there is no such user counts as briefly. A password
that expires meanwhile (`VALID UNTIL`) counts until then, whatever the query looks at (CVE-2025-2291): of the role with
this name the server is asked itself. All run with a search path that nobody else's functions are in (CVE-2025-12819).
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from dbproxy.auth.users import Secret
from dbproxy.errors import ConfigurationError

STARTUP = {"search_path": "pg_catalog, pg_temp", "application_name": "dbproxy auth_query"}
# Seconds until the password expires; NULL for never.
EXPIRY = """
SELECT CASE WHEN rolvaliduntil <= pg_catalog.now() THEN 0
            WHEN pg_catalog.isfinite(rolvaliduntil) THEN extract(epoch FROM rolvaliduntil - pg_catalog.now()) END
FROM pg_catalog.pg_roles WHERE rolname = $1"""
# All roles that the user is a member of, by whatever way, and the user.
ROLES = """
WITH RECURSIVE known(oid) AS (
  SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1
  UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN known ON m.member = known.oid)
SELECT rolname FROM pg_catalog.pg_roles JOIN known USING (oid)"""

UNKNOWN = "there is no such user"
NO_PASSWORD = "the user has no password, or it has expired"  # noqa: S105 - not one
EXPIRED = "the user's password has expired"

Rows = Sequence[Sequence[bytes]]  # NULL is empty


@dataclass(frozen=True, slots=True)
class Answer:
    """`why`: for our log, if there is no secret. Times are monotonic seconds."""

    secret: Secret | None = field(repr=False)
    why: str = ""
    asked_at: float = 0.0
    valid_until: float = math.inf

    def at(self, now: float) -> "Answer":
        """What it says now."""
        return self if self.secret is None or now < self.valid_until else Answer(None, EXPIRED, self.asked_at)


def read_answer(user: str, rows: Rows, expiry: Rows, now: float) -> Answer:
    """ConfigurationError if the rows are none that such a query gives; nothing of them is in it."""
    if not rows:
        return Answer(None, UNKNOWN, now)
    if len(rows) > 1 or len(rows[0]) < 2:
        raise ConfigurationError("it must give one row at most, of a user's name and password")
    name, password = rows[0][:2]
    if _text(name) != user:
        return Answer(None, UNKNOWN, now)
    if not password:
        return Answer(None, NO_PASSWORD, now)
    try:
        secret = Secret.stored(_text(password))
    except ValueError:
        raise ConfigurationError("the password that it gives is a malformed SCRAM verifier") from None
    try:
        left = float(expiry[0][0] or "inf") if expiry else math.inf
    except (ValueError, IndexError):
        raise ConfigurationError("the server does not say how long the password is valid") from None
    return Answer(secret, "", now, now + left).at(now)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


class Answers:
    """Those of late, at most `size`, by whom was asked and the user."""

    def __init__(self, size: int = 10_000) -> None:
        self.size = size
        self._kept: OrderedDict[tuple[object, str], Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, authority: object, user: str, now: float, ttl: float) -> Answer | None:
        """None if there is none that still counts."""
        answer = self._kept.get((authority, user))
        return answer.at(now) if answer is not None and now < answer.asked_at + ttl else None

    def keep(self, authority: object, user: str, answer: Answer) -> None:
        self._kept[authority, user] = answer
        self._kept.move_to_end((authority, user))
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)

    def doubt(self, authority: object, user: str, now: float, grace: float = 1.0) -> None:
        """A login by it has failed: the password may have been changed. What is younger than `grace` still counts."""
        answer = self._kept.get((authority, user))
        if answer is not None and now >= answer.asked_at + grace:
            del self._kept[authority, user]
