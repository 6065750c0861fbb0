"""All connections from applications, by the process id that we gave each: who may cancel what, and who is counted."""

import secrets
from collections import Counter
from collections.abc import Iterator
from hmac import compare_digest
from typing import Generic, Protocol, TypeVar

from dbproxy.session.identity import Identity

MAX_REASONS = 50
PID_LIMIT = 2**22  # the process ids of PostgreSQL's own backends are below it: Linux has no greater ones


class Identified(Protocol):
    """What is registered."""

    @property
    def identity(self) -> Identity: ...


Login = TypeVar("Login", bound=Identified)


class Registry(Generic[Login]):
    """Logins under way and clients. A cancel key is 4 random bytes, as protocol 3.0 has it."""

    def __init__(self) -> None:
        self.by_pid: dict[int, Login] = {}
        self.disconnects: Counter[str] = Counter()
        self.login_failures: Counter[str] = Counter()
        self.disabled: set[str] = set()  # databases where nobody may log in

    def __len__(self) -> int:
        return len(self.by_pid)

    def __iter__(self) -> Iterator[Login]:
        return iter(list(self.by_pid.values()))

    def add(self, login: Login) -> tuple[int, bytes]:
        """A process id that nobody has, nor any backend, and its cancel key."""
        while True:
            pid = PID_LIMIT + secrets.randbelow(2**31 - PID_LIMIT)
            if pid not in self.by_pid:
                self.by_pid[pid] = login
                return pid, secrets.token_bytes(4)

    def remove(self, pid: int) -> None:
        self.by_pid.pop(pid, None)

    def count_disconnect(self, reason: str) -> None:
        """Some reasons quote what the client sent: only so many different ones are kept."""
        known = reason in self.disconnects or len(self.disconnects) < MAX_REASONS
        self.disconnects[reason if known else "other"] += 1

    def find(self, pid: int, key: bytes) -> Login | None:
        """Who may be cancelled with this key."""
        login = self.by_pid.get(pid)
        return login if login is not None and compare_digest(login.identity.key, key) else None
