"""A read that a replica cannot answer is answered by another host, and its client sees nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from dbproxy.admin.connections import waiting_time
from dbproxy.cluster.catalog import Catalog
from dbproxy.cluster.finding import Finding
from dbproxy.routing import rescue
from dbproxy.routing.rescues import RESCUED_LIMIT
from dbproxy.routing.router import Router
from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend, ScriptedServer, refuse
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    error,
    execute,
    parameter_status,
    parse,
    query,
    row,
    rows,
)

READ = "SELECT 42"
CONFLICT = error("40001", "canceling statement due to conflict with recovery")
READ_ONLY = error("25006", "cannot execute nextval() in a read-only transaction")
SHUTDOWN = error("57P01", "terminating connection due to administrator command", severity="FATAL")
ANSWER = (rows("42"), IDLE)


class Scene:
    """A primary, two replicas, a client; each host's first connection is opened when it is asked."""

    def __init__(self, house: House, primary: ScriptedServer, replicas: list[ScriptedServer]) -> None:
        self.house = house
        self.hosts = {"primary": primary, "replica1": replicas[0], "replica2": replicas[1]}

    @property
    def router(self) -> Router:
        return self.house.proxy.hosts.routers["shop", "app"]

    async def enter(self) -> tuple[RawClient, Backend]:
        """A client, and the primary's connection."""
        client, server = await self.house.pair()
        self.router.learn(Catalog())
        return client, server

    async def asked(self, *names: str) -> tuple[str, Backend]:
        """Which of these hosts got a new connection."""
        waiting = {name: asyncio.ensure_future(self.hosts[name].accept()) for name in names}
        done, pending = await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED, timeout=10)
        for task in pending:
            task.cancel()
        return next((name, task.result()) for name, task in waiting.items() if task in done)

    def rescues(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for (_, reason), count in self.router.rescues.counts.items():
            found[reason] = found.get(reason, 0) + count
        return found


@asynccontextmanager
async def playing(**settings: object) -> AsyncIterator[Scene]:
    async with ScriptedServer() as primary, ScriptedServer() as one, ScriptedServer() as two:
        urls = ",".join(f"postgresql://app@127.0.0.1:{server.port}/shop" for server in (one, two))
        given = {"replicas": urls, "routing.slow_start": 0, "routing.consistency": "eventual", **settings}
        async with House(primary, given) as house:
            cluster = house.proxy.hosts.cluster
            for member in cluster.members:
                role = "primary" if member.name == "primary" else "replica"
                cluster.learn(member, Finding(role, lsn=1000, timeline=1), monotonic())
            yield Scene(house, primary, [one, two])


async def test_read_goes_to_a_replica_and_write_to_the_primary():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (CONFLICT, rescue.CONFLICT),
        (READ_ONLY, rescue.READ_ONLY),
        (error("42P01", 'relation "t" does not exist'), rescue.BEHIND),
        (error("0A000", "cannot use serializable mode in a hot standby"), rescue.RECOVERY),
    ],
)
async def test_error_of_a_replica_is_hidden_and_the_primary_answers(failure: bytes, reason: str):
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(failure, IDLE, to=query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.rescues() == {reason: 1}


async def test_error_of_the_client_is_its_own():
    async with playing() as scene:
        client, _ = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        mistake = error("22012", "division by zero")
        await replica.answers(mistake, IDLE, to=query(READ))
        await client.receives(mistake, IDLE)
        assert scene.rescues() == {}


async def test_error_behind_a_part_of_the_answer_is_told():
    async with playing() as scene:
        client, _ = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(columns("a"), row("1"), to=query(READ))
        await client.receives(columns("a"), row("1"))
        replica.send(CONFLICT, IDLE)
        await client.receives(CONFLICT, IDLE)
        assert scene.rescues() == {}


async def test_replica_that_is_lost_is_replaced_by_the_other_and_then_by_the_primary():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        first, replica = await scene.asked("replica1", "replica2")
        await replica.receives(query(READ))
        replica.cut()
        second, replica = await scene.asked(*({"replica1", "replica2"} - {first}))
        assert second != first
        await replica.receives(query(READ))
        replica.cut()
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)


async def test_last_words_of_a_replica_are_not_told():
    async with playing() as scene:
        client, _ = await scene.enter()
        client.send(query(READ))
        first, replica = await scene.asked("replica1", "replica2")
        await replica.answers(SHUTDOWN, to=query(READ))
        replica.cut()
        await client.hears_nothing()
        primary = scene.house.proxy.pools["shop", "app"].active.first
        assert primary is not None  # it is asked now
        assert first in ("replica1", "replica2")


async def test_last_words_behind_an_answer_are_not_told():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*ANSWER, SHUTDOWN, to=query(READ))
        await client.receives(*ANSWER)
        replica.cut()
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)


async def test_statement_that_was_parsed_and_failed_is_parsed_again_elsewhere():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(parse("mine", READ), bind("mine"), execute(), SYNC)
        _, replica = await scene.asked("replica1", "replica2")
        parsed = await replica.receive()
        assert parsed.kind == "P"
        name = str(parsed.body.name)
        await replica.receives(bind(name), execute(), SYNC)
        replica.send(PARSE_COMPLETE, BIND_COMPLETE, CONFLICT, IDLE)
        await primary.receives(parse(name, READ), bind(name), execute(), SYNC)
        answer = (PARSE_COMPLETE, BIND_COMPLETE, row("42"), complete(), IDLE)
        primary.send(*answer)
        await client.receives(*answer)


async def test_extended_read_that_fails_is_sent_again_with_those_behind_it():
    async with playing() as scene:
        client, primary = await scene.enter()
        reads = [parse("", text) + bind() + execute() + SYNC for text in ("SELECT 1", "SELECT 2")]
        client.send(*reads)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(*reads)
        replica.send(PARSE_COMPLETE, BIND_COMPLETE, CONFLICT, IDLE)
        for number, read in enumerate(reads):
            answer = (PARSE_COMPLETE, BIND_COMPLETE, row(str(number)), complete(), IDLE)
            await primary.answers(*answer, to=read)
            await client.receives(*answer)


async def test_only_what_was_not_answered_is_sent_again():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query("SELECT 1"), query("SELECT 2"), query("SELECT 3"))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(query("SELECT 1"), query("SELECT 2"), query("SELECT 3"))
        replica.send(rows("1"), IDLE, CONFLICT, IDLE)
        await client.receives(rows("1"), IDLE)
        await primary.receives(query("SELECT 2"))
        primary.send(rows("2"), IDLE)
        await primary.receives(query("SELECT 3"))
        primary.send(rows("3"), IDLE)
        await client.receives(rows("2"), IDLE, rows("3"), IDLE)


async def test_write_behind_a_read_waits_for_it_and_goes_to_the_primary():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(query(READ))
        client.send(query("DELETE FROM t"))
        await primary.hears_nothing()
        replica.send(*ANSWER)
        await client.receives(*ANSWER)
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)


async def test_one_write_makes_all_of_a_pipeline_the_primarys():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query(READ), query("DELETE FROM t"))
        await primary.receives(query(READ), query("DELETE FROM t"))
        primary.send(*ANSWER, complete("DELETE 1"), IDLE)
        await client.receives(*ANSWER, complete("DELETE 1"), IDLE)


async def test_transaction_that_only_reads_stays_on_its_replica():
    async with playing() as scene:
        client, _ = await scene.enter()
        client.send(query("BEGIN READ ONLY"))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(complete("BEGIN"), INTRANS, to=query("BEGIN READ ONLY"))
        await client.receives(complete("BEGIN"), INTRANS)
        client.send(query("SELECT f()"))
        await replica.answers(rows("42"), INTRANS, to=query("SELECT f()"))
        await client.receives(rows("42"), INTRANS)


async def test_statement_that_is_rescued_again_and_again_goes_to_the_primary():
    async with playing() as scene:
        scene.house.proxy.hosts.cluster.disable("replica2", monotonic())
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1")
        for number in range(RESCUED_LIMIT):
            if number:
                client.send(query(READ))
            await replica.answers(READ_ONLY, IDLE, to=query(READ))
            await primary.answers(*ANSWER, to=query(READ))
            await client.receives(*ANSWER)
        client.send(query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.router.decisions["primary", "rescued too often"] == 1


async def test_promotion_of_a_replica_is_not_told_to_who_reads_there():
    async with playing() as scene:
        client, _ = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(query(READ))
        replica.send(rows("42"), parameter_status("in_hot_standby", "off"), IDLE)
        await client.receives(*ANSWER)


POSITION = "SELECT (pg_catalog.pg_current_wal_insert_lsn()"


async def test_commit_is_followed_by_the_question_where_it_is():
    async with playing(**{"routing.consistency": "session"}) as scene:
        client, primary = await scene.enter()
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)
        asked = await primary.receive()
        assert str(asked.body.query).startswith(POSITION)
        client.send(query(READ))  # sent before that is known: the primary has it
        await primary.receives(query(READ))
        primary.send(rows("2000"), IDLE, rows("42"), IDLE)
        await client.receives(ANSWER[0], IDLE)
        client.send(query(READ))  # no replica is that far
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.router.decisions["primary", "no replica is fresh enough"] == 1
        follow(scene, "replica1", 2000)
        client.send(query(READ))
        name, replica = await scene.asked("replica1", "replica2")
        assert name == "replica1"
        await replica.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)


@pytest.mark.parametrize("last_words", [b"", SHUTDOWN], ids=["cut", "shut down"])
async def test_client_whose_server_is_lost_behind_its_commit_goes_on(last_words: bytes):
    async with playing(**{"routing.consistency": "session"}) as scene:
        client, primary = await scene.enter()
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)
        asked = await primary.receive()
        assert str(asked.body.query).startswith(POSITION)
        primary.send(last_words)
        primary.writer.close() if last_words else primary.cut()
        await client.hears_nothing()
        client.send(query(READ))  # where its commit is nobody knows
        _, primary = await scene.asked("primary")
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)


def follow(scene: Scene, name: str, lsn: int) -> None:
    """The replica has replayed so far."""
    cluster = scene.house.proxy.hosts.cluster
    cluster.learn(cluster.member(name), Finding("replica", lsn=lsn, timeline=1), monotonic())


async def test_read_that_the_primary_loses_is_sent_again_once():
    async with playing(**{"routing.primary_reads_weight": 1}) as scene:
        for name in ("replica1", "replica2"):
            scene.house.proxy.hosts.cluster.disable(name, monotonic())
        client, primary = await scene.enter()
        client.send(query(READ))
        await primary.receives(query(READ))
        primary.cut()
        _, primary = await scene.asked("primary")
        await primary.receives(query(READ))
        primary.cut()
        await client.fails("08007")
        await client.hears_the_end()


async def test_write_that_the_primary_loses_is_not_sent_again():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(query("DELETE FROM t"))
        await primary.receives(query("DELETE FROM t"))
        primary.cut()
        await client.fails("08007")
        await client.hears_the_end()


async def test_read_waits_for_a_replica_to_have_its_commit():
    async with playing(**{"routing.consistency": "session", "routing.consistency_wait": "1h"}) as scene:
        client, _ = await commit(scene, 2000)
        client.send(query(READ))
        await scene.house.until(lambda: len(scene.router.room.waiting) == 1)
        assert 0 < waiting_time(scene.house.inside(client)) < 60
        follow(scene, "replica2", 1500)
        assert len(scene.router.room.waiting) == 1
        follow(scene, "replica2", 2000)
        name, replica = await scene.asked("replica1", "replica2")
        assert name == "replica2"
        await replica.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)


async def test_primary_answers_if_no_replica_has_it_in_time():
    async with playing(**{"routing.consistency": "session", "routing.consistency_wait": "20ms"}) as scene:
        client, primary = await commit(scene, 2000)
        client.send(query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.router.decisions["primary", "no replica is fresh enough"] == 1


async def test_client_that_waits_for_a_replica_can_leave():
    async with playing(**{"routing.consistency": "session", "routing.consistency_wait": "1h"}) as scene:
        client, _ = await commit(scene, 2000)
        client.send(query(READ))
        await scene.house.until(lambda: len(scene.router.room.waiting) == 1)
        client.cut()
        await scene.house.until(lambda: not scene.router.room.waiting)


async def commit(scene: Scene, position: int) -> tuple[RawClient, Backend]:
    """A client that has written up to there."""
    client, primary = await scene.enter()
    client.send(query("DELETE FROM t"))
    await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
    await client.receives(complete("DELETE 1"), IDLE)
    asked = await primary.receive()
    assert str(asked.body.query).startswith(POSITION)
    primary.send(rows(str(position)), IDLE)
    await scene.house.until(lambda: scene.house.inside(client).server is None)
    return client, primary


async def test_name_that_is_in_use_means_what_it_did_when_its_parse_fails():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(parse("mine", "SELECT 1"), SYNC)
        assert (await primary.receive()).kind == "P"
        await primary.receives(SYNC)
        primary.send(PARSE_COMPLETE, IDLE)
        await client.receives(PARSE_COMPLETE, IDLE)
        missing = error("42P01", 'relation "v" does not exist')
        client.send(parse("mine", "SELECT * FROM v"), bind("mine"), execute(), SYNC)
        while (await primary.receive()).kind != "S":
            pass
        primary.send(CLOSE_COMPLETE, missing, IDLE)
        await client.receives(missing, IDLE)
        assert scene.house.inside(client).knows(b"mine")
        assert scene.rescues() == {}


async def test_read_behind_a_commit_that_is_being_placed_is_sent_again():
    async with playing(**{"routing.consistency": "session"}) as scene:
        client, primary = await scene.enter()
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)
        assert str((await primary.receive()).body.query).startswith(POSITION)
        client.send(query(READ), query("SELECT 43"))
        await primary.receives(query(READ), query("SELECT 43"))
        primary.send(rows("2000"), IDLE, *ANSWER)
        await client.receives(*ANSWER)
        primary.cut()
        _, primary = await scene.asked("primary")
        await primary.answers(rows("43"), IDLE, to=query("SELECT 43"))
        await client.receives(rows("43"), IDLE)


async def test_transaction_that_has_begun_on_a_replica_is_not_sent_again():
    async with playing() as scene:
        client, _ = await scene.enter()
        scene.house.proxy.hosts.cluster.disable("replica2", monotonic())
        client.send(query("BEGIN READ ONLY"), query(READ), query("COMMIT"))
        _, replica = await scene.asked("replica1")
        await replica.receives(query("BEGIN READ ONLY"), query(READ), query("COMMIT"))
        replica.send(complete("BEGIN"), INTRANS, CONFLICT, INERROR, complete("ROLLBACK"), IDLE)
        await client.receives(complete("BEGIN"), INTRANS, CONFLICT, INERROR, complete("ROLLBACK"), IDLE)
        client.send(query("BEGIN READ ONLY"), query(READ))
        await replica.receives(query("BEGIN READ ONLY"), query(READ))
        replica.send(complete("BEGIN"), INTRANS)
        await client.receives(complete("BEGIN"), INTRANS)
        replica.cut()
        await client.fails("08007")
        assert scene.rescues() == {}


async def test_connection_that_is_being_opened_to_a_lost_host_is_not_waited_for():
    async with playing() as scene:
        client, primary = await scene.enter()
        cluster = scene.house.proxy.hosts.cluster
        cluster.disable("replica2", monotonic())
        answers, scene.hosts["replica1"].greeting = scene.hosts["replica1"].greeting, say_nothing
        client.send(query(READ))
        await scene.house.until(lambda: scene.hosts["replica1"].logins == 1)
        cluster.disable("replica1", monotonic())
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        scene.hosts["replica1"].greeting = answers
        cluster.enable("replica1", monotonic())
        follow(scene, "replica1", 1000)
        client.send(query(READ))
        _, replica = await scene.asked("replica1")
        await replica.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)


async def say_nothing(backend: Backend) -> None:
    """A host that hangs."""
    await backend.hears_the_end()


async def test_replica_that_refuses_the_login_is_not_waited_for():
    async with playing() as scene:
        client, primary = await scene.enter()
        scene.house.proxy.hosts.cluster.disable("replica2", monotonic())
        scene.hosts["replica1"].greeting = refuse(error("28000", "no pg_hba.conf entry", severity="FATAL"))
        client.send(query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        follow(scene, "replica1", 1000)  # it answers probes
        client.send(query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.router.decisions["primary", "no replica can be connected to"] == 1
