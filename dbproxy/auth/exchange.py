"""What logging in has in common, whoever logs in to whom: steps without a socket, a clock or an event loop.

A login is a conversation of Authentication requests (from the one who checks) and answers (from the one who
is checked). Each of our sides is an object that takes a payload and returns a step; sending and receiving is
its caller's.

A step that hashes a password (PBKDF2, milliseconds) comes back as `Work`, to be run in a thread:

    step = exchange.receive(payload)
    if isinstance(step, Work):
        step = await asyncio.to_thread(step.run)

Derived keys are cached, so that a login has such a step only the first time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from dbproxy.auth.scram import Keys, derive_keys

T = TypeVar("T")


class Request:
    """The int32 in an Authentication message (PostgreSQL: "Message Formats")."""

    OK = 0
    CLEARTEXT_PASSWORD = 3
    MD5_PASSWORD = 5
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """A step that is slow to compute: `run` blocks and returns it (or raises what the step would)."""

    run: Callable[[], T]


class KeyCache:
    """The SCRAM keys of passwords lately used, at most `size`; safe to use from threads."""

    def __init__(self, size: int = 4096) -> None:
        self.size = size
        self._keys: OrderedDict[tuple[str, bytes, int], Keys] = OrderedDict()
        self._lock = Lock()

    def find(self, password: str, salt: bytes, iterations: int) -> Keys | None:
        with self._lock:
            keys = self._keys.get((password, salt, iterations))
            if keys:
                self._keys.move_to_end((password, salt, iterations))
            return keys

    def derive(self, password: str, salt: bytes, iterations: int) -> Keys:
        """Slow unless another thread was faster: the keys, which the cache then has."""
        keys = self.find(password, salt, iterations) or derive_keys(password, salt, iterations)
        with self._lock:
            self._keys[password, salt, iterations] = keys
            if len(self._keys) > self.size:
                self._keys.popitem(last=False)
        return keys

    def use(self, password: str, salt: bytes, iterations: int, step: Callable[[Keys], T]) -> T | Work[T]:
        """`step` of the keys: at once if the cache has them."""
        keys = self.find(password, salt, iterations)
        if keys:
            return step(keys)
        return Work(lambda: step(self.derive(password, salt, iterations)))
