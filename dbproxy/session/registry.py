"""All connections from applications, by the process id that we gave each: who may cancel what, and who is counted."""

import secrets
from collections import Counter
from collections.abc import Iterator
from hmac import compare_digest
from struct import Struct
from typing import Any, Generic, Protocol, TypeVar

from dbproxy.session.identity import Identity

MAX_REASONS = 50
LONG_KEY = 32  # bytes, PostgreSQL's
DRAWN, DRAW = 64, Struct("!I4s")  # of each a number and a key
PIDS = 2**31 - 2**22
PID_LIMIT = 2**22  # the process ids of PostgreSQL's own backends are below it: Linux has no greater ones


def make_long_key() -> bytes:
    """A cancel key for who speaks protocol 3.2."""
    return secrets.token_bytes(LONG_KEY)


class Identified(Protocol):
    """What is registered."""

    @property
    def identity(self) -> Identity: ...


Login = TypeVar("Login", bound=Identified)


class Registry(Generic[Login]):
    """Logins under way and clients. A cancel key is 4 random bytes, as protocol 3.0 has it, until 3.2 is spoken."""

    def __init__(self) -> None:
        self.by_pid: dict[int, Login] = {}
        self.drawn: list[Any] = []  # numbers and keys that nobody has been given
        self.disconnects: Counter[str] = Counter()
        self.login_failures: Counter[str] = Counter()
        self.disabled: set[str] = set()  # databases where nobody may log in
        self.crowded = False  # more is kept in memory than may be: nobody is let in
        self.limits: Counter[str] = Counter()  # logins refused, by the limit
        self.admitted: set[int] = set()  # the process ids of those who are counted
        self.databases: dict[str, int] = {}  # how many of them, by database
        self.users: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.by_pid)

    def __iter__(self) -> Iterator[Login]:
        """Those who are there when it is their turn: whoever leaves while others are looked at is none."""
        for pid, login in list(self.by_pid.items()):
            if self.by_pid.get(pid) is login:
                yield login

    def add(self, login: Login) -> tuple[int, bytes]:
        """A process id that nobody has, nor any backend, and its cancel key."""
        while True:
            number, key = self.draw()
            pid = PID_LIMIT + number % PIDS
            if pid not in self.by_pid:
                self.by_pid[pid] = login
                return pid, key

    def draw(self) -> tuple[int, bytes]:
        """A number and a key. Many are drawn at once, as the system call takes as long as all else here."""
        if not self.drawn:
            self.drawn = list(DRAW.iter_unpack(secrets.token_bytes(DRAWN * DRAW.size)))
        number, key = self.drawn.pop()
        return number, key

    def admit(self, login: Login) -> None:
        """It counts for its database and its user from now on, to its end."""
        who = login.identity
        self.admitted.add(who.pid)
        count(self.databases, who.database, 1)
        count(self.users, who.user, 1)

    def remove(self, pid: int) -> None:
        login = self.by_pid.pop(pid, None)
        if login is None or pid not in self.admitted:
            return
        self.admitted.remove(pid)
        count(self.databases, login.identity.database, -1)
        count(self.users, login.identity.user, -1)

    def count_disconnect(self, reason: str) -> None:
        """Some reasons quote what the client sent: only so many different ones are kept."""
        known = reason in self.disconnects or len(self.disconnects) < MAX_REASONS
        self.disconnects[reason if known else "other"] += 1

    def find(self, pid: int, key: bytes) -> Login | None:
        """Who may be cancelled with this key."""
        login = self.by_pid.get(pid)
        return login if login is not None and compare_digest(login.identity.key, key) else None


def count(counted: dict[str, int], name: str, change: int) -> None:
    """What comes to 0 is not kept."""
    number = counted.get(name, 0) + change
    if number:
        counted[name] = number
    else:
        del counted[name]
