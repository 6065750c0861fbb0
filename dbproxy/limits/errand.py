"""What goes to Redis, and what follows from the answer, or from there being none."""

import asyncio
from dataclasses import dataclass

from dbproxy.limits.lease import Lease
from dbproxy.limits.reply import Reply
from dbproxy.limits.script import Item, Order, Result

FOREVER = 1 << 52  # patience of what is not asked, but told


@dataclass(slots=True)
class Asked:
    """`done` once the reply says what became of it; whoever has left cancels that."""

    reply: Reply
    done: asyncio.Future[None]

    def finish(self) -> None:
        """What was taken out of the hand for nothing is in it again."""
        if not self.reply.allowed:
            for lease in self.reply.held:
                lease.hand += lease.rate.interval
        if not self.done.cancelled():
            self.done.set_result(None)
        else:
            self.reply.forget()


@dataclass(slots=True)
class Errand:
    """One order, and the lease of each item; `asked`: None where nobody waits for what becomes of it."""

    leases: list[Lease]
    order: Order
    asked: Asked | None = None

    def settle(self, result: Result, now: int) -> None:
        for lease, item, found in zip(self.leases, self.order.items, result.found, strict=True):
            lease.learn(now, found.used, found.got, 0 if result.allowed else found.wait)
            if item.extra:
                lease.fetching = False
                lease.owner.count("granted" if found.got else "refused")
        if self.asked is not None:
            reply = self.asked.reply
            reply.allowed = result.allowed
            reply.wait = max((found.wait for found in result.found), default=0)
            self.asked.finish()

    def give_up(self, now: int) -> None:
        """Redis does not answer: what was let through is to be told it later, and nobody waits."""
        for lease, item in zip(self.leases, self.order.items, strict=True):
            if item.extra:
                lease.fetching = False
                lease.owner.count("failed")
            if item.more and not item.known:
                lease.owe(now, item.more)
        if self.asked is not None:
            self.asked.reply.failed = True
            self.asked.finish()


def tell(lease: Lease, *, known: int = 0, more: int = 0, back: int = 0) -> Errand:
    """What is so, whatever Redis thinks of it."""
    rate = lease.rate
    item = Item(lease.key, rate.interval, rate.capacity, known=known, more=more, back=back)
    return Errand([lease], Order((item,), FOREVER))


def request(lease: Lease, *, need: int = 0, extra: int = 0) -> Item:
    rate = lease.rate
    return Item(lease.key, rate.interval, rate.capacity, need, extra)
