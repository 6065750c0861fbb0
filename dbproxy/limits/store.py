"""Limits that all proxies share by Redis: what no lease has in hand is asked for here, beside the data path."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from dbproxy.limits.courier import Courier, read_clock
from dbproxy.limits.errand import Asked, Errand, request, tell
from dbproxy.limits.fleet import Fleet
from dbproxy.limits.lease import Lease
from dbproxy.limits.reply import Reply
from dbproxy.limits.script import Order, name_key
from dbproxy.limits.subject import Subject

OUTCOMES = ("granted", "refused", "failed", "returned")  # of leases
SWEPT = 10_000  # leases in one sweep
IDLE = 1_000_000  # microseconds without use, after which what is in hand is given back


class Store:
    """Of one proxy and one Redis, from `start` to `stop`."""

    def __init__(self, url: str, prefix: str, *, timeout: float, graceful: bool) -> None:
        self.prefix = prefix
        self.fleet = Fleet(graceful=graceful)
        self.courier = Courier(url, prefix, timeout, self.fleet, self.list_missing)
        self.leases: dict[Lease, None] = {}  # of which something is used
        self.outcomes = dict.fromkeys(OUTCOMES, 0)

    async def start(self) -> None:
        """Try once; it goes on by itself."""
        await self.courier.start()

    async def stop(self) -> None:
        """Give back what is in hand, and take leave."""
        await self.courier.stop([tell(lease, back=empty(lease)) for lease in self.leases if lease.hand])

    def adjust(self, timeout: float, *, graceful: bool) -> None:
        self.courier.caller.timeout = timeout
        self.fleet.graceful = graceful

    def join(self, subject: Subject) -> None:
        """Its rate is shared from now on."""
        rate, lease = subject.rate, subject.lease
        if rate is None:
            subject.share(None)
        elif lease is not None and lease.owner is self:
            lease.hold(rate)
        else:
            subject.share(Lease(self.fleet, self, name_key(self.prefix, subject.rule, subject.key), rate))

    def ask(self, subjects: tuple[Subject, ...], patience: int) -> Asked:
        """All of these for one request: all allow it, or none is touched."""
        asked = Asked(Reply(subjects), asyncio.get_running_loop().create_future())
        leases, items = [], []
        for subject in subjects:
            lease = subject.lease
            if lease is None:
                continue
            self.attend(lease)
            if lease.hand >= lease.rate.interval:
                lease.hand -= lease.rate.interval
                asked.reply.held.append(lease)
            else:
                leases.append(lease)
                items.append(request(lease, need=lease.rate.interval, extra=self.add_lease(lease)))
        self.courier.put(Errand(leases, Order(tuple(items), patience), asked))
        return asked

    def add_lease(self, lease: Lease) -> int:
        """What is fetched besides, as a token has to be asked for."""
        if not lease.size or lease.fetching:
            return 0
        lease.fetching = True
        return lease.step

    # --- limits.lease.Owner ---

    def fetch(self, lease: Lease, now: int) -> None:
        lease.fetching = True
        lease.grow()
        self.courier.put(Errand([lease], Order((request(lease, extra=lease.step),))))

    def attend(self, lease: Lease) -> None:
        lease.attended = True
        self.leases[lease] = None

    def charge(self, lease: Lease, span: int) -> None:
        self.attend(lease)
        self.courier.put(tell(lease, more=span))

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    # --- as time goes by ---

    def sweep(self, now: int) -> None:
        """Once a second: give back what is not needed, and say that this proxy is there."""
        for lease in list(islice(self.leases, SWEPT)):
            del self.leases[lease]
            if lease.hand and not self.fleet.degraded:
                self.trim(lease, now)
            lease.attended = not lease.is_full(now)
            if lease.attended:
                self.leases[lease] = None  # the last one now
        self.courier.wanted.set()

    def trim(self, lease: Lease, now: int) -> None:
        """Give back what is in hand and not needed."""
        spare = lease.take_spare(now, IDLE)
        if spare:
            self.count("returned")
            self.courier.put(tell(lease, back=spare))

    def list_missing(self) -> Iterator[Errand]:
        """What Redis has missed, or forgotten."""
        for lease in list(self.leases):
            known, more = lease.tell_missing(read_clock())
            if known or more:
                yield tell(lease, known=known, more=more)


def empty(lease: Lease) -> int:
    """What was in its hand."""
    hand, lease.hand = lease.hand, 0
    return hand
