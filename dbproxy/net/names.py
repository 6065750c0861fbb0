"""Which addresses a name has: looked up beside the loop, and remembered.

Each look-up has a thread of its own, as getaddrinfo blocks, be it for half a minute: so a name whose resolver is slow
holds up nobody who asks for another one, nor what else runs in threads. Of one name a single look-up is under way. What
it says counts for `max_ttl`; after that it is asked again, and what was known serves where no answer comes at once, or
none at all.

An address where nobody answered is tried last for a while. One that a name does not have any more is told to
`on_change`, with those that it has.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import chain, zip_longest
from threading import Thread
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from dbproxy.net.race import AllFailed

PATIENCE = 0.25  # seconds for a new answer where there is an old one
MOST = 64  # look-ups under way: names come from the settings alone
SHUNNED = 30.0  # seconds for which an address that did not answer is tried last

Address = tuple[int, tuple[Any, ...]]  # its family, and what connect takes
Changed = Callable[[str, int, frozenset[tuple[Any, ...]]], object]

_names: "WeakKeyDictionary[asyncio.AbstractEventLoop, Names]" = WeakKeyDictionary()


class Name:
    """What is known of one. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.addresses: tuple[Address, ...] = ()
        self.learned_at = float("-inf")
        self.asked_at = float("-inf")
        self.question: asyncio.Future[None] | None = None  # the look-up under way
        self.error: OSError | None = None  # of the last one
        self.shunned: dict[Address, float] = {}  # since when

    def order(self, now: float, *, shuffles: bool) -> list[Address]:
        """The addresses, as they came or shuffled; those that did not answer lately at the end."""
        for address, since in list(self.shunned.items()):
            if now - since >= SHUNNED:
                del self.shunned[address]
        addresses = random.sample(self.addresses, len(self.addresses)) if shuffles else self.addresses
        return sorted(addresses, key=lambda address: self.shunned.get(address, 0.0))


class Names:
    """Of one loop; `names_here` has them."""

    def __init__(self, max_ttl: float = 15.0) -> None:
        self.max_ttl = max_ttl  # seconds; 0: each look asks
        self.known: dict[tuple[str, int], Name] = {}
        self.on_change: Changed = lambda *_: None  # host, port, and the addresses (with port) that it has now

    async def find(
        self, host: str, port: int, *, anew: bool = False, shuffles: bool = False
    ) -> list[Address]:
        """The addresses of a host, in the order in which to try them. OSError if it has none.

        `anew`: it is asked for whatever is known.
        """
        if is_numeric(host):
            return look_up(host, port, numeric=True)
        name = self.known.setdefault((host, port), Name())
        now = monotonic()
        if anew or not name.addresses or now - name.learned_at >= self.max_ttl:
            question = self.ask(host, port, now)
            patience = max(0.0, name.asked_at + PATIENCE - now) if name.addresses else None
            await asyncio.wait([question], timeout=patience)
        if name.addresses:
            return name.order(now, shuffles=shuffles)
        raise name.error or OSError(f"{host} has no address")

    def note(self, host: str, port: int, address: Address, *, answers: bool) -> None:
        """Whether somebody answered there."""
        name = self.known.get((host, port))
        if name is not None and answers:
            name.shunned.pop(address, None)
        elif name is not None:
            name.shunned[address] = monotonic()

    def refresh(self, now: float) -> None:
        """Ask for those whose answer is too old; called now and then, so that a change is noticed without a connect."""
        for (host, port), name in self.known.items():
            if self.max_ttl and now - max(name.learned_at, name.asked_at) >= self.max_ttl:
                self.ask(host, port, now)

    def list_known(self, now: float) -> list[tuple[str, float, list[str]]]:
        """Each name, the seconds until it is looked up again, and its addresses."""
        return [
            (
                host,
                max(0.0, name.learned_at + self.max_ttl - now),
                [endpoint[0] for _, endpoint in name.addresses],
            )
            for (host, _), name in self.known.items()
            if name.addresses
        ]

    def keep(self, hosts: Collection[tuple[str, int]]) -> None:
        """Forget all others."""
        self.known = {host: name for host, name in self.known.items() if host in hosts}

    def pending(self) -> int:
        return sum(name.question is not None for name in self.known.values())

    # --- looking up ---

    def ask(self, host: str, port: int, now: float) -> "asyncio.Future[None]":
        """Done when the look-up is; also one that is under way already."""
        name = self.known[host, port]
        if name.question is not None:
            return name.question
        loop = asyncio.get_running_loop()
        question = loop.create_future()
        if self.pending() >= MOST:
            name.error = OSError(f"{host}: too many names are being looked up")
            question.set_result(None)
            return question
        name.question, name.asked_at = question, now

        def run() -> None:
            try:
                answer: list[Address] | OSError = look_up(host, port)
            except OSError as error:
                answer = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.learn, host, port, name, answer)

        Thread(target=run, name=f"look up {host}", daemon=True).start()
        return question

    def learn(self, host: str, port: int, name: Name, answer: list[Address] | OSError) -> None:
        question, name.question = name.question, None
        if isinstance(answer, OSError) or not answer:
            name.error = answer if isinstance(answer, OSError) else None
        else:
            before, name.addresses = name.addresses, tuple(answer)
            name.learned_at, name.error = monotonic(), None
            left = self.max_ttl and set(before) - set(name.addresses)
            if left and self.known.get((host, port)) is name:
                self.on_change(host, port, frozenset(endpoint for _, endpoint in name.addresses))
        if question is not None and not question.done():
            question.set_result(None)


def names_of(loop: asyncio.AbstractEventLoop) -> Names:
    """The names that this loop's connections go by."""
    names = _names.get(loop)
    if names is None:
        names = _names[loop] = Names()
    return names


def names_here() -> Names:
    """Of the loop that runs; where none does, none are known."""
    try:
        return names_of(asyncio.get_running_loop())
    except RuntimeError:
        return Names()


def look_up(host: str, port: int, *, numeric: bool = False) -> list[Address]:
    """Blocks. OSError if there are none."""
    flags = socket.AI_NUMERICHOST if numeric else 0
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:
        raise OSError(f"{host} is no name that can be looked up") from None
    return list(_alternate([(int(family), endpoint) for family, _, _, _, endpoint in found]))


def is_numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False


def _alternate(addresses: list[Address]) -> Iterator[Address]:
    """IPv6 and IPv4 in turn, beginning with the first, as RFC 8305 has it: one of the networks may be dead."""
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if address[0] == unique[0][0]]
    other = [address for address in unique if address[0] != unique[0][0]]
    return (address for address in chain.from_iterable(zip_longest(first, other)) if address is not None)


def describe(error: AllFailed) -> OSError:
    """The first of the system's errors counts: that of the address that comes first."""
    errors = [one for one in error.errors if isinstance(one, OSError)]
    return next((one for one in errors if one.errno), errors[0])
