"""A read whose replica does not begin to answer is asked of another host, and its client sees nothing of it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from time import monotonic

from dbproxy.app.hedger import Hedger
from dbproxy.cluster.finding import Finding
from dbproxy.routing.hedging import TIMES
from dbproxy.routing.rescue import HEDGED, SILENT
from tests.protocol.test_rescue import ANSWER, READ, Scene, commit, follow
from tests.protocol.test_rescue import playing as playing_rescue
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    execute,
    parse,
    query,
    row,
    rows,
)

PATIENCE = 20  # seconds that a host is given: none of them passes here
LATE = PATIENCE + 1
REPLICAS = {"replica1", "replica2"}


def playing(**settings: object) -> AbstractAsyncContextManager[Scene]:
    return playing_rescue(**{"routing.hedge_after": PATIENCE, **settings})


def watching(scene: Scene, hedges: float = 10) -> Hedger:
    """What looks after reads, with so many hedges saved up; it comes when it is called (`sweep`)."""
    hedger = Hedger(scene.house.proxy.hosts)
    hedger.sweep(monotonic())
    hedger.budget.left = hedges
    return hedger


def sweep(hedger: Hedger, later: float = LATE) -> None:
    hedger.sweep(monotonic() + later)


async def asked(scene: Scene) -> tuple[RawClient, str, Backend]:
    """A client that has asked a replica, which does not answer."""
    client, _ = await scene.enter()
    client.send(query(READ))
    name, replica = await scene.asked(*REPLICAS)
    await replica.receives(query(READ))
    return client, name, replica


async def test_read_that_is_owed_its_first_byte_is_asked_of_the_other_replica():
    async with playing() as scene:
        hedger = watching(scene)
        client, name, replica = await asked(scene)
        sweep(hedger, 0)
        assert not scene.rescues()
        sweep(hedger)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        cancel = await scene.hosts[name].cancelled()
        assert cancel.pid == replica.pid
        cancel.finish()
        await replica.hears_the_end()
        assert scene.rescues() == {HEDGED: 1}
        assert 9 <= hedger.budget.left < 10
        client.send(query("DELETE FROM t"))  # it goes on as any other
        await client.hears_nothing()


async def test_read_is_hedged_once():
    async with playing() as scene:
        hedger = watching(scene)
        client, name, _ = await asked(scene)
        sweep(hedger)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.receives(query(READ))
        sweep(hedger)
        assert scene.rescues() == {HEDGED: 1}
        other.send(*ANSWER)
        await client.receives(*ANSWER)


async def test_read_is_not_hedged_beyond_the_budget():
    async with playing() as scene:
        hedger = watching(scene, hedges=0)
        client, _, replica = await asked(scene)
        sweep(hedger)
        assert not scene.rescues()
        replica.send(*ANSWER)
        await client.receives(*ANSWER)


async def test_read_is_not_hedged_where_that_is_off():
    async with playing(**{"routing.hedge_after": 0}) as scene:
        hedger = watching(scene)
        client, _, replica = await asked(scene)
        sweep(hedger)
        assert not scene.rescues()
        replica.send(*ANSWER)
        await client.receives(*ANSWER)


async def test_answer_that_has_begun_is_waited_for():
    async with playing() as scene:
        hedger = watching(scene)
        client, _, replica = await asked(scene)
        replica.send(columns("a"))
        await client.receives(columns("a"))
        sweep(hedger)
        assert not scene.rescues()
        replica.send(row("42"), complete(), IDLE)
        await client.receives(row("42"), complete(), IDLE)


async def test_open_transaction_stays_where_it_is():
    async with playing() as scene:
        hedger = watching(scene)
        client, _ = await scene.enter()
        client.send(query("BEGIN READ ONLY"))
        _, replica = await scene.asked(*REPLICAS)
        await replica.answers(complete("BEGIN"), INTRANS, to=query("BEGIN READ ONLY"))
        await client.receives(complete("BEGIN"), INTRANS)
        client.send(query(READ))
        await replica.receives(query(READ))
        sweep(hedger)
        assert not scene.rescues()
        replica.send(rows("42"), INTRANS)
        await client.receives(rows("42"), INTRANS)


async def test_primary_is_given_as_long_as_it_takes():
    async with playing() as scene:
        hedger = watching(scene)
        client, primary = await scene.enter()
        client.send(query("DELETE FROM t"))
        await primary.receives(query("DELETE FROM t"))
        sweep(hedger)
        assert not scene.rescues()
        primary.send(complete("DELETE 1"), IDLE)
        await client.receives(complete("DELETE 1"), IDLE)


async def test_only_what_is_not_answered_is_asked_again_with_what_waits_behind_it():
    async with playing() as scene:
        hedger = watching(scene)
        client, primary = await scene.enter()
        client.send(query("SELECT 1"), query("SELECT 2"))
        name, replica = await scene.asked(*REPLICAS)
        await replica.receives(query("SELECT 1"), query("SELECT 2"))
        replica.send(rows("1"), IDLE)
        await client.receives(rows("1"), IDLE)
        client.send(query("DELETE FROM t"))
        await primary.hears_nothing()
        sweep(hedger)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.answers(rows("2"), IDLE, to=query("SELECT 2"))
        await client.receives(rows("2"), IDLE)
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)


async def test_prepared_statement_is_prepared_where_it_is_asked_again():
    async with playing() as scene:
        hedger = watching(scene)
        client, _ = await scene.enter()
        client.send(parse("mine", READ), bind("mine"), execute(), SYNC)
        name, replica = await scene.asked(*REPLICAS)
        parsed = await replica.receive()
        server_name = str(parsed.body.name)
        await replica.receives(bind(server_name), execute(), SYNC)
        sweep(hedger)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.receives(parse(server_name, READ), bind(server_name), execute(), SYNC)
        other.send(PARSE_COMPLETE, BIND_COMPLETE, row("42"), complete(), IDLE)
        await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("42"), complete(), IDLE)
        client.send(bind("mine"), execute(), SYNC)  # whoever is asked has it, or is given it
        await client.hears_nothing()
        assert scene.rescues() == {HEDGED: 1}


async def test_other_host_has_what_the_session_has_written():
    async with playing(**{"routing.consistency": "session", "routing.consistency_wait": "1h"}) as scene:
        hedger = watching(scene)
        client, primary = await commit(scene, 2000)
        follow(scene, "replica1", 2000)  # the other one is behind, and is not waited for
        client.send(query(READ))
        _, replica = await scene.asked("replica1")
        await replica.receives(query(READ))
        sweep(hedger)
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.rescues() == {HEDGED: 1}


async def test_hint_for_one_replica_does_not_keep_a_read_there():
    async with playing() as scene:
        hedger = watching(scene)
        client, primary = await scene.enter()
        hinted = query("/* dbproxy: replica(replica2) */ " + READ)
        client.send(hinted)
        _, replica = await scene.asked("replica2")
        await replica.receives(hinted)
        sweep(hedger)
        await primary.answers(*ANSWER, to=hinted)
        await client.receives(*ANSWER)


async def say_nothing(_: Backend) -> None:
    await asyncio.Event().wait()


async def test_connection_that_is_being_opened_is_not_waited_for():
    async with playing() as scene:
        hedger = watching(scene)
        scene.house.proxy.hosts.cluster.disable("replica2", monotonic())
        scene.hosts["replica1"].greeting = say_nothing
        client, primary = await scene.enter()
        client.send(query(READ))
        await scene.house.until(lambda: scene.hosts["replica1"].logins == 1)
        sweep(hedger, 0)
        assert not scene.rescues()
        sweep(hedger)
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert scene.rescues() == {HEDGED: 1}


async def test_host_that_answers_neither_read_nor_probe_gets_no_reads_and_keeps_none():
    async with playing() as scene:
        hedger = watching(scene, hedges=0)
        cluster = scene.house.proxy.hosts.cluster
        client, name, replica = await asked(scene)
        host = cluster.member(name)
        sweep(hedger, LATE)
        assert host.due.is_set(), "it is to be probed"
        assert not host.health.suspect
        sweep(hedger, 3 * LATE)
        assert host.health.suspect
        assert not scene.rescues()
        sweep(hedger, 3 * LATE)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        await replica.hears_the_end()
        assert scene.rescues() == {SILENT: 1}
        for _ in range(20):
            client.send(query(READ))
            await other.answers(*ANSWER, to=query(READ))
            await client.receives(*ANSWER)


async def test_host_whose_probe_is_answered_keeps_its_reads():
    async with playing() as scene:
        hedger = watching(scene, hedges=0)
        cluster = scene.house.proxy.hosts.cluster
        client, name, replica = await asked(scene)
        host = cluster.member(name)
        sweep(hedger, LATE)
        cluster.learn(host, Finding("replica", lsn=1000, timeline=1), monotonic() + 2 * LATE)
        sweep(hedger, 3 * LATE)
        assert not host.health.suspect
        replica.send(*ANSWER)
        await client.receives(*ANSWER)
        assert not scene.rescues()


async def test_statement_that_is_slow_anywhere_is_not_hedged_again():
    async with playing() as scene:
        hedger = watching(scene)
        scene.house.proxy.hosts.cluster.disable("replica2", monotonic())
        client, primary = await scene.enter()
        client.send(query(READ))
        for _ in range(TIMES):
            _, replica = await scene.asked("replica1")
            await replica.receives(query(READ))
            sweep(hedger)
            await primary.receives(query(READ))
            sweep(hedger)
            primary.send(*ANSWER)
            await client.receives(*ANSWER)
            client.send(query(READ))
        _, replica = await scene.asked("replica1")
        await replica.receives(query(READ))
        sweep(hedger)
        assert scene.rescues() == {HEDGED: TIMES}
        replica.send(*ANSWER)
        await client.receives(*ANSWER)


async def test_statement_that_the_other_host_answers_in_time_is_hedged_again():
    async with playing() as scene:
        hedger = watching(scene)
        client, name, _ = await asked(scene)
        sweep(hedger)
        _, other = await scene.asked(*(REPLICAS - {name}))
        await other.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        sweep(hedger)
        inside = scene.house.inside(client)
        client.send(query(READ))
        await scene.house.until(lambda: inside.server is not None)
        sweep(hedger)
        assert scene.rescues() == {HEDGED: 2}
