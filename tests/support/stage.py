"""The stage of the leak hunt: clients do what sessions remember, one by one, each beside a twin on a direct line.

The twin has its own, equal database on the same PostgreSQL, so that the two worlds never meet. Whoever may keep a
server (a transaction, a pin) is known by what it has said; no more than `POOL_SIZE` such clients, with the one whose
turn it is, are there at a time: nobody waits for a server. What would have to wait is left out, and not counted.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from tests.support.blocking_client import Message
from tests.support.deeds import Deed
from tests.support.session_sql import RENEW
from tests.support.speech import SYNC
from tests.support.twins import CLOSED, PATIENCE, Line, Twins
from tests.support.witness import USER

POOL_SIZE = 2
# What must be gone with whoever held it.
LEFT = """SELECT
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind <> 'i'),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s
        AND state LIKE 'idle in transaction%%')"""
ASLEEP = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
  AND query LIKE '%%SELECT pg_sleep(30)' AND state = 'active' AND wait_event = 'PgSleep'"""
GONE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
EVICT = """SELECT pg_terminate_backend(pid, 5000)
    FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"""


@dataclass
class World:
    """A way to a database, and the superuser's own line to that database."""

    host: str
    port: int
    database: str
    admin: psycopg.Connection
    proxied: bool = False
    patience: float = PATIENCE

    def enter(self, start: Mapping[str, str]) -> Line:
        line = Line(self.host, self.port, user=USER, database=self.database, **start)
        line.be_patient(self.patience)
        return line

    def ask(self, sql: str, *values: object) -> tuple[object, ...]:
        row = self.admin.execute(sql, values).fetchone()
        assert row is not None
        return row

    def wait_for(self, expected: tuple[object, ...], trouble: str, sql: str, *values: object) -> None:
        deadline = time.monotonic() + self.patience
        while (found := self.ask(sql, *values)) != expected:
            assert time.monotonic() < deadline, f"{trouble}: {found} instead of {expected}"
            time.sleep(0.001)  # another process: asked, not awaited

    def wait_until_asleep(self) -> None:
        self.wait_for((1,), f"nobody sleeps in {self.database}", ASLEEP)

    def drop(self, line: Line) -> None:
        """PostgreSQL itself does not notice that a client has left before it has an answer for it."""
        if not self.proxied:
            self.ask("SELECT pg_terminate_backend(%s)", line.pid)

    def renew(self) -> None:
        """As if nobody had been there."""
        self.admin.execute(EVICT, [USER])
        self.admin.execute(RENEW)


@dataclass(frozen=True)
class Step:
    """One turn: client `number` does it; if it is not there, it logs in first, and asks for `start`."""

    number: int
    start: Mapping[str, str]
    deed: Deed


@dataclass
class Stage:
    """One story: who is there, and what was done."""

    direct: World
    judged: World
    clients: dict[int, Twins] = field(default_factory=dict)
    starts: dict[int, Mapping[str, str]] = field(default_factory=dict)
    done: list[Step] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def play(self, steps: Iterable[Step]) -> str:
        """The first difference, or nothing."""
        try:
            for step in steps:
                self.act(step)
        except (AssertionError, OSError) as trouble:
            return f"{trouble}" or repr(trouble)
        finally:
            self.close()
        return ""

    def act(self, step: Step) -> None:
        """One step, if nobody would have to wait for it."""
        if step.deed.recurses or not self.allows(step.number, step.deed):
            return
        start = self.starts[step.number] if step.number in self.clients else step.start
        if step.deed.resets and start:  # what it asked for at its login is back behind that, not in it
            return
        twins = self.clients.get(step.number)
        if step.deed.tells_beginning:
            if twins and twins.only_prepares:  # docs/compatibility.md, "Flush"
                return
            restored = step.deed.may_reset or (twins and twins.has_reset)
            if start and restored:  # docs/compatibility.md, "too late"
                return
        if (
            twins and twins.direct.status == "E" and step.deed.names_behind
        ):  # docs/compatibility.md, "in *one* text"
            return
        if twins and twins.may_have_failed and step.deed.sleeps:
            return
        self.done.append(step)
        if step.number not in self.clients:
            self.clients[step.number] = self.enter(step.start)
            self.starts[step.number] = step.start
        self.do(step.number, step.deed)
        self.settle()

    def enter(self, start: Mapping[str, str]) -> Twins:
        for world in (self.direct, self.judged):
            self.lines.append(world.enter(start))
        return Twins(*self.lines[-2:])

    def allows(self, number: int, deed: Deed) -> bool:
        holders = {other for other, twins in self.clients.items() if twins.holds} - {number}
        own = self.clients.get(number)
        blocks = deed.blocks or (deed.names and own is not None and own.named_blocks)
        return len(holders) < (1 if blocks else POOL_SIZE)

    def do(self, number: int, deed: Deed) -> None:
        twins = self.clients[number]
        if twins.direct.broken:
            twins.ask(SYNC)
        if deed.ending == "cancel" and twins.direct.status != "E":
            self.cancel(twins, deed)
        elif deed.leaves:
            self.leave(self.clients.pop(number), deed)
        elif CLOSED in self.say(twins, deed):
            self.see_off(self.clients.pop(number).direct.pid)  # a FATAL error

    def say(self, twins: Twins, deed: Deed) -> list[Message]:
        alone = twins.idle
        answer = twins.ask(deed.messages)
        twins.listens |= b"listen" in deed.messages.lower()
        if deed.names:
            twins.named |= deed.holds
            twins.named_blocks |= deed.blocks
            twins.holds |= twins.named
        twins.holds |= deed.holds
        twins.has_reset = (twins.has_reset or deed.may_reset) and not twins.idle
        if twins.idle:
            twins.holds -= {"transaction", "open"}
            if alone and all(kind != "E" for kind, _ in answer):
                twins.holds -= deed.frees
        return answer

    def cancel(self, twins: Twins, deed: Deed) -> None:
        answers = []
        for world, line in ((self.direct, twins.direct), (self.judged, twins.judged)):
            line.send(deed.messages)
            world.wait_until_asleep()
            line.cancel()
            answers.append(line.answer(deed.messages))
        twins.judge(*answers)

    def leave(self, twins: Twins, deed: Deed) -> None:
        asleep = deed.ending == "vanish asleep" and twins.direct.status != "E"
        for world, line in ((self.direct, twins.direct), (self.judged, twins.judged)):
            if asleep:
                line.send(deed.messages)
                world.wait_until_asleep()
            elif deed.ending == "vanish in part":
                line.send(deed.messages[: len(deed.messages) // 2])
            line.close() if deed.ending == "terminate" else line.vanish()
            if asleep:
                world.drop(line)
        self.see_off(twins.direct.pid)

    def see_off(self, pid: int) -> None:
        """Return once nothing is left of a client in either world."""
        self.direct.wait_for((0,), f"backend {pid} stays", GONE, pid)
        left = self.direct.ask(LEFT, USER)
        self.judged.wait_for(left, "left are locks, temporary relations, open transactions", LEFT, USER)
        self.judged.wait_for((0,), "a query goes on without its client", ASLEEP)

    def settle(self) -> None:
        """Whoever listens has been told what there is to tell."""
        if any(twins.listens for twins in self.clients.values()):
            for number, twins in self.clients.items():
                try:
                    twins.compare_notifications()
                except AssertionError as difference:
                    raise AssertionError(f"client {number}: {difference}") from None

    def close(self) -> None:
        for line in self.lines:
            with suppress(OSError):  # most have left already
                line.vanish()
        for world in (self.direct, self.judged):
            world.renew()
