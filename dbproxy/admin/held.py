"""Who is held back by a limit, by which, and whose transactions have to end first."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from dbproxy.admin.house import House
from dbproxy.limits.book import Book
from dbproxy.limits.subject import Subject, find_crowded, find_slowest
from dbproxy.limits.wording import count_open, describe, describe_use
from dbproxy.pool.holders import NAMED, Holder, list_longest
from dbproxy.pool.server import Server
from dbproxy.session.client import Client


@dataclass(frozen=True, slots=True)
class Held:
    """`reason` in words; where it waits for one of so many that are `running` to end, who has them, longest first."""

    reason: str
    running: int = 0
    holders: tuple[Holder, ...] = ()


def explain_hold(house: House, client: Client, now: float) -> Held:
    """`now`: monotonic seconds. The client is held back (session.awaiting)."""
    allowance, book = client.inbound.allowance, house.limits.limiter.book
    assert allowance is not None
    crowded = None if allowance.running else find_crowded(allowance.subjects)
    if crowded is not None:
        holders = tuple(list_longest(list_lent(house, crowded), now, NAMED))
        return Held(
            tell(book, crowded, describe(crowded, count_open(crowded))),
            running=crowded.running,
            holders=holders,
        )
    if not allowance.subjects:
        return Held("limits are asked for elsewhere")
    time = int(now * 1e6)
    slowest = find_slowest(allowance.subjects, time)
    alarm = client.inbound.passage.alarm if client.inbound.passage is not None else None
    goes = f" It goes in {max(0.0, alarm.when() - asyncio.get_running_loop().time()):.1f} s." if alarm else ""
    return Held(tell(book, slowest, describe_use(slowest, time) + goes))


def tell(book: Book, subject: Subject, why: str) -> str:
    return f"{book.name(subject)} (tier {subject.tier}): {why}"


def list_lent(house: House, subject: Subject) -> list[Server]:
    """The servers on which its transactions run."""
    return [client.server for client in list_running(house, subject) if client.server is not None]


def list_running(house: House, subject: Subject) -> Iterator[Client]:
    for login in house.registry:
        client = login.client
        if client is None or client.inbound.allowance is None:
            continue
        if subject in client.inbound.allowance.paid:
            yield client


def list_crowded(house: House) -> dict[int, Subject]:
    """By client: whose transaction has others wait for its end, and what they all are held to."""
    crowded = [subject for subject in house.limits.limiter.book if subject.queue]
    return {client.id: subject for subject in crowded for client in list_running(house, subject)}
