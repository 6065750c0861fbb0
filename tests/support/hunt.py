"""The leak hunt: clients do at random what sessions remember, one after another, each beside its twin on a direct line.

The twin has its own, equal database on the same PostgreSQL, so that the two worlds never meet. Whoever may keep a server
(a transaction, a pin) is known by what it has said; no more than `POOL_SIZE` such clients, with the one whose turn it is,
are there at a time: nobody waits for a server. What would have to wait is left out, and not counted.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.support.deeds import Deed, deeds
from tests.support.session_sql import RENEW
from tests.support.speech import SYNC
from tests.support.twins import PATIENCE, Line, Twins
from tests.support.witness import USER

POOL_SIZE = 2
CLIENTS = 4
IMPATIENCE = (
    0.5  # seconds, instead of PATIENCE, once a difference has been found: it is looked for in many stories
)
LENGTH = 80  # steps of a story
STARTS: list[dict[str, str]] = [  # what clients ask for as they log in
    {},
    {},
    {"timezone": "Asia/Tokyo", "application_name": "one of many"},
    {"options": "-c work_mem=7MB -c search_path=public"},
    {"client_encoding": "LATIN1", "DateStyle": "SQL, DMY"},
    {"options": "-c role=app -c app.user=started -c default_transaction_read_only=on"},
]
# What must be gone with whoever held it.
LEFT = """SELECT
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind <> 'i'),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s
        AND state LIKE 'idle in transaction%%')"""
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%%'" \
         " AND state = 'active' AND wait_event = 'PgSleep'"  # fmt: skip
GONE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
EVICT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"


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


@dataclass
class Stage:
    """One story: who is there, and what they did."""

    direct: World
    judged: World
    clients: dict[int, Twins] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    steps: int = 0

    def act(self, number: int, start: Mapping[str, str], deed: Deed) -> None:
        """One step, if nobody would have to wait for it."""
        if not self.allows(number, deed):
            return
        self.steps += 1
        try:
            if number not in self.clients:
                self.story.append(f"client {number} enters {dict(start) or ''}")
                self.clients[number] = Twins(self.direct.enter(start), self.judged.enter(start))
            self.story.append(f"client {number}: {deed}")
            self.do(number, deed)
            self.settle()
        except (AssertionError, OSError) as trouble:
            self.judged.patience = IMPATIENCE
            raise AssertionError(self.tell(f"{trouble}" or repr(trouble))) from trouble

    def allows(self, number: int, deed: Deed) -> bool:
        holders = {other for other, twins in self.clients.items() if twins.holds} - {number}
        return len(holders) < (1 if deed.blocks else POOL_SIZE)

    def tell(self, trouble: str) -> str:
        return "\n".join(["", *self.story, trouble])

    def do(self, number: int, deed: Deed) -> None:
        twins = self.clients[number]
        if twins.direct.broken:
            twins.ask(SYNC)
        if deed.ending == "cancel" and twins.direct.status != "E":
            self.cancel(twins, deed)
        elif deed.ending in ("", "cancel"):
            self.say(twins, deed)
        else:
            self.leave(self.clients.pop(number), deed)

    def say(self, twins: Twins, deed: Deed) -> None:
        alone = twins.idle
        answer = twins.ask(deed.messages)
        twins.listens |= b"listen" in deed.messages.lower()
        twins.holds |= deed.holds
        if twins.idle:
            twins.holds -= {"transaction", "open"}
            if alone and all(kind != "E" for kind, _ in answer):
                twins.holds -= deed.frees

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
        for twins in self.clients.values():
            for line in (twins.direct, twins.judged):
                with suppress(OSError):
                    line.vanish()
        for world in (self.direct, self.judged):
            world.renew()


@dataclass
class Hunt:
    """Stories until `steps` have been done; the minimal one that shows a difference is the failure's message."""

    direct: World
    judged: World
    groups: Sequence[str] = ()
    done: int = 0

    def run(self, steps: int, number: int) -> None:
        """The same for the same `number`."""
        batch = 0
        while self.done < steps:
            self.run_batch(steps - self.done, number + batch)
            batch += 1

    def run_batch(self, steps: int, number: int) -> None:
        machine = seed(number)(self.machine())
        limits = settings(
            max_examples=steps // LENGTH + 1,
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        run_state_machine_as_test(machine, settings=limits)

    def machine(self) -> type[RuleBasedStateMachine]:
        hunt = self

        class Story(RuleBasedStateMachine):
            def __init__(self) -> None:
                super().__init__()
                self.stage = Stage(hunt.direct, hunt.judged)

            @rule(number=st.integers(0, CLIENTS - 1), start=st.sampled_from(STARTS), deed=deeds(hunt.groups))
            def act(self, number: int, start: Mapping[str, str], deed: Deed) -> None:
                self.stage.act(number, start, deed)

            def teardown(self) -> None:
                hunt.done += self.stage.steps
                self.stage.close()

        return Story
