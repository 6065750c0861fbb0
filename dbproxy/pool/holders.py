"""Who holds a pool's servers: what whoever waits for one is told, and the operator.

Read from the live objects when somebody asks; nothing is noted for it on the way of a query. A statement is shown
without its literals.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest

from dbproxy.observe.slowlog import show_statement
from dbproxy.pool.pool import Pool
from dbproxy.pool.request import Request, find_oldest
from dbproxy.pool.states import Member
from dbproxy.wire.extended import statement_text

NAMED = 3  # holders that an error and a log line name
_SHOWN = 120  # characters of each one's statement there


@dataclass(frozen=True, slots=True)
class Holder:
    """Of one server. `client`: its number, 0 for an errand of our own. Times are seconds.

    `state`: `active`; `stalled`, if the client does not take its answer; `idle in transaction`, `idle in transaction
    (aborted)`, `idle`: the server waits for the client. `statement`: what runs, or ran last; "" if that is not known.
    """

    client: int
    name: str
    server: int
    pid: int
    state: str
    held: float
    lasting: float  # since when the state is
    pins: tuple[str, ...]
    statement: str

    def tell(self) -> str:
        """In words, for an error and a log line."""
        who = f'client {self.client} "{self.name}"' if self.client else "dbproxy itself"
        words = [
            f"{who} for {self.held:.1f} s",
            self.state if self.lasting >= self.held else f"{self.state} for {self.lasting:.1f} s",
        ]
        if self.pins:
            words.append(f"pinned ({', '.join(self.pins)})")
        if self.statement:
            short = self.statement[:_SHOWN] + "…" if len(self.statement) > _SHOWN else self.statement
            words.append(f"{'running' if self.state == 'active' else 'last'}: {short}")
        return ", ".join(words)


def list_holders(pool: Pool, now: float, most: int | None = None) -> list[Holder]:
    """Who holds servers of this pool, the longest first; `most` of them at most."""
    return list_longest(list(pool.active), now, most)


def list_longest(servers: Iterable[Member], now: float, most: int | None = None) -> list[Holder]:
    """The same of these servers, whosever they are."""
    lent = [server for server in servers if server.loan.client is not None]
    held = nlargest(len(lent) if most is None else most, lent, key=lambda server: now - server.loan.since)
    return [_describe(server, now) for server in held]


def explain_wait(pool: Pool, holders: Iterable[Holder]) -> str:
    """Why nobody is lent a server of this pool; `holders` are those who hold one longest."""
    where = f" on {pool.host.name}" if pool.host is not None else ""
    whose = f"pool {pool.database}/{pool.user}{where}: "
    if pool.paused:
        return f"{whose}paused by an administrator"
    size = pool.size()
    if pool.last_error is not None and size == pool.opening:
        return f"{whose}no connection can be opened: {pool.last_error.message}"
    used = f"{_count(size)}, all in use" if size else "no connection is open"
    if pool.opening:
        used = f"{_count(size - pool.opening)} in use, {pool.opening} being opened"
    longest = "; ".join(holder.tell() for holder in holders)
    limits = [quota.tell() for quota in pool.share.find_full()]
    return "; ".join([f"{whose}{used}", *limits] + ([f"held longest by {longest}"] if longest else []))


def _count(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


def _describe(server: Member, now: float) -> Holder:
    client, loan = server.loan.client, server.loan
    assert client is not None  # a server that is lent
    number, name = client.introduce()
    request = find_request(server)
    state = _name_state(server)
    begun = max(loan.since, loan.answered_at)
    if server.dialogue.pipeline.empty():
        begun = max(begun, loan.heard_at)
    elif request is not None:
        begun = max(begun, request.arrived)
    return Holder(
        client=number,
        name=name,
        server=server.id,
        pid=server.backend.pid,
        state=state,
        held=max(0.0, now - loan.since),
        lasting=max(0.0, now - begun),
        pins=tuple(sorted(server.dialogue.traces.pins)),
        statement=show_statement(find_text(server, request)),
    )


def _name_state(server: Member) -> str:
    dialogue, client = server.dialogue, server.loan.client
    if not dialogue.pipeline.empty():
        return "stalled" if client is not None and client.full else "active"
    if dialogue.in_transaction():
        return "idle in transaction" if dialogue.status == ord("T") else "idle in transaction (aborted)"
    half = (
        client is not None and client.text_at_hand()
    )  # to PostgreSQL a batch without its Sync is a transaction
    return "idle in transaction" if half else "idle"


def find_request(server: Member) -> Request | None:
    """The request that a server carries out, or did last; None if that is not known, or not sent to its end."""
    pipeline, client = server.dialogue.pipeline, server.loan.client
    request = find_oldest(pipeline)
    if request is not None or not pipeline.empty() or (client is not None and client.text_at_hand()):
        return request
    return pipeline.ended if isinstance(pipeline.ended, Request) else server.loan.request


def find_text(server: Member, request: Request | None) -> bytes:
    """Its SQL; without a request that of what the client has begun to send."""
    if request is not None:
        return statement_text(request.chunk, request.at)
    return server.loan.client.text_at_hand() if server.loan.client is not None else b""
