"""A transaction on a replica ends where its client ends it; one that wants more than a standby can is the primary's."""

import pytest

from dbproxy.routing import rescue
from tests.protocol.test_rescue import CONFLICT, Scene, playing
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    describe,
    error,
    execute,
    parameter_types,
    parse,
    query,
    rows,
)

BEGIN, READ, COMMIT = query("BEGIN READ ONLY"), query("SELECT a FROM t"), query("COMMIT")
BEGUN, ANSWER, COMMITTED = (complete("BEGIN"), INTRANS), (rows("42"), INTRANS), (complete("COMMIT"), IDLE)
WRITE, WRITTEN = query("DELETE FROM t"), (complete("DELETE 1"), IDLE)
ROLLBACK, ROLLED_BACK = query("ROLLBACK"), (complete("ROLLBACK"), IDLE)
STANDBY = error("25006", "cannot execute f() during recovery")


def run(sql: str) -> bytes:
    """An extended query without its Sync."""
    return parse("", sql) + bind() + execute()


def ran(tag: str) -> bytes:
    return PARSE_COMPLETE + BIND_COMPLETE + complete(tag)


async def begin(scene: Scene, *reads: bytes) -> tuple[RawClient, Backend, Backend]:
    """A client in a transaction on a replica: both, and the primary."""
    client, primary = await scene.enter()
    client.send(BEGIN)
    _, replica = await scene.asked("replica1", "replica2")
    await replica.answers(*BEGUN, to=BEGIN)
    await client.receives(*BEGUN)
    for read in reads:
        client.send(read)
        await replica.answers(*ANSWER, to=read)
        await client.receives(*ANSWER)
    return client, replica, primary


# --- what follows the end ---


async def test_write_behind_an_end_that_is_not_answered_waits_and_goes_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        client.send(COMMIT)
        await replica.receives(COMMIT)
        client.send(WRITE)
        await primary.hears_nothing()
        replica.send(*COMMITTED)
        await primary.answers(*WRITTEN, to=WRITE)
        await client.receives(*COMMITTED, *WRITTEN)


async def test_write_while_the_replica_is_asked_what_was_left_waits_and_goes_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        set_path = query("SET search_path = s2")
        client.send(set_path)
        await replica.answers(complete("SET"), INTRANS, to=set_path)
        client.send(COMMIT)
        await replica.answers(*COMMITTED, to=COMMIT)
        await client.receives(complete("SET"), INTRANS, *COMMITTED)
        client.send(WRITE)
        await primary.hears_nothing()
        await replica.answers_audit(settings={"search_path": "s2"})
        await primary.receives(query("SELECT pg_catalog.set_config('search_path', 's2', false)"))
        primary.send(complete("SET"), IDLE)
        await primary.answers(*WRITTEN, to=WRITE)
        await client.receives(*WRITTEN)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "END", "SELECT 1; ABORT"])
async def test_write_in_one_chunk_with_the_end_goes_to_the_primary(end: str):
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        client.send(READ, query(end), WRITE, READ)
        await replica.receives(READ, query(end))
        await primary.hears_nothing()
        replica.send(*ANSWER, *COMMITTED)
        await primary.receives(WRITE, READ)
        primary.send(*WRITTEN, rows("42"), IDLE)
        await client.receives(*ANSWER, *COMMITTED, *WRITTEN, rows("42"), IDLE)


async def test_write_behind_an_end_by_the_extended_protocol_goes_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        commit, write = run("COMMIT") + SYNC, run("DELETE FROM t") + SYNC
        client.send(commit + write)
        await replica.receives(commit)
        replica.send(ran("COMMIT"), IDLE)
        await primary.receives(write)
        primary.send(ran("DELETE 1"), IDLE)
        await client.receives(ran("COMMIT"), IDLE, ran("DELETE 1"), IDLE)


async def test_write_in_one_request_with_the_end_goes_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        client.send(run("SELECT 1"))
        await replica.receives(run("SELECT 1"))
        write = run("DELETE FROM t") + SYNC
        client.send(run("COMMIT") + write)
        await replica.receives(run("COMMIT"), FLUSH)
        replica.send(ran("SELECT 1"), ran("COMMIT"))
        await replica.answers(IDLE, to=SYNC)
        await primary.receives(write)
        primary.send(ran("DELETE 1"), IDLE)
        await client.receives(ran("SELECT 1"), ran("COMMIT"), ran("DELETE 1"), IDLE)


async def test_request_that_fails_ahead_of_its_end_is_the_replicas_to_its_sync():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        write = run("DELETE FROM t") + SYNC
        client.send(run("SELECT 1/0") + run("COMMIT") + write)
        await replica.receives(run("SELECT 1/0"), run("COMMIT"), FLUSH)
        mistake = error("22012", "division by zero")
        replica.send(PARSE_COMPLETE, BIND_COMPLETE, mistake)
        await client.receives(PARSE_COMPLETE, BIND_COMPLETE, mistake)
        await replica.answers(INERROR, to=write)  # PostgreSQL looks at no more than the Sync
        await client.receives(INERROR)


async def test_write_in_one_text_with_the_end_takes_the_end_along_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        both = query("ROLLBACK; DELETE FROM t")
        client.send(both)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(complete("ROLLBACK"), *WRITTEN, to=both)
        await client.receives(complete("ROLLBACK"), *WRITTEN)


async def test_write_behind_an_end_that_was_flushed_goes_to_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        commit, write = run("COMMIT"), run("DELETE FROM t") + SYNC
        client.send(commit, FLUSH)
        await replica.receives(commit, FLUSH)
        replica.send(ran("COMMIT"))
        await client.receives(ran("COMMIT"))
        client.send(write)
        await replica.answers(IDLE, to=SYNC)
        await primary.receives(write)
        primary.send(ran("DELETE 1"), IDLE)
        await client.receives(ran("DELETE 1"), IDLE)


async def test_sync_behind_an_end_that_was_flushed_is_the_clients_own():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        client.send(run("COMMIT"), FLUSH)
        await replica.receives(run("COMMIT"), FLUSH)
        replica.send(ran("COMMIT"))
        await client.receives(ran("COMMIT"))
        client.send(SYNC)
        await replica.answers(IDLE, to=SYNC)
        await client.receives(IDLE)


async def test_end_that_was_not_carried_out_keeps_what_follows_on_the_replica():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        failing = run("SELECT 1/0") + run("COMMIT") + SYNC
        client.send(failing, WRITE)
        await replica.receives(failing)
        mistake = error("22012", "division by zero")
        replica.send(PARSE_COMPLETE, BIND_COMPLETE, mistake, INERROR)
        aborted = error("25P02", "current transaction is aborted")
        await replica.answers(aborted, INERROR, to=WRITE)
        await client.receives(PARSE_COMPLETE, BIND_COMPLETE, mistake, INERROR, aborted, INERROR)


async def test_chained_transaction_goes_on_where_it_is():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        chain = query("COMMIT AND CHAIN")
        client.send(chain, READ)
        await replica.receives(chain, READ)
        replica.send(complete("COMMIT"), INTRANS, *ANSWER)
        await client.receives(complete("COMMIT"), INTRANS, *ANSWER)


async def test_transaction_and_a_write_behind_it_in_one_chunk_are_the_primarys():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(BEGIN, READ, COMMIT, WRITE)
        await primary.receives(BEGIN, READ, COMMIT, WRITE)
        primary.send(*BEGUN, *ANSWER, *COMMITTED, *WRITTEN)
        await client.receives(*BEGUN, *ANSWER, *COMMITTED, *WRITTEN)


async def test_transactions_in_one_chunk_that_only_read_are_a_replicas():
    async with playing() as scene:
        client, _ = await scene.enter()
        requests = (BEGIN, READ, COMMIT, query("SELECT 42"), BEGIN, READ, COMMIT)
        client.send(*requests)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(*requests)
        answers = (*BEGUN, *ANSWER, *COMMITTED, rows("42"), IDLE, *BEGUN, *ANSWER, *COMMITTED)
        replica.send(*answers)
        await client.receives(*answers)


async def test_write_that_comes_in_parts_behind_an_end_waits_whole():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        write = query("DELETE FROM t WHERE a = '" + "x" * 40000 + "'")
        client.send(COMMIT + write[:20000])
        await replica.receives(COMMIT)
        client.send(write[20000:] + READ)
        replica.send(*COMMITTED)
        await primary.receives(write, READ)
        primary.send(*WRITTEN, rows("42"), IDLE)
        await client.receives(*COMMITTED, *WRITTEN, rows("42"), IDLE)


async def test_long_write_behind_a_read_waits_for_it():
    async with playing() as scene:
        client, primary = await scene.enter()
        write = query("DELETE FROM t WHERE a = '" + "x" * 40000 + "'")
        client.send(READ)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(READ)
        client.send(write[:20000])
        await primary.hears_nothing()
        replica.send(rows("42"), IDLE)
        client.send(write[20000:])
        await primary.answers(*WRITTEN, to=write)
        await client.receives(rows("42"), IDLE, *WRITTEN)


async def test_end_of_a_failed_transaction_is_taken_along_as_one():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        mistake, both = error("22012", "division by zero"), query("COMMIT; DELETE FROM t")
        client.send(query("SELECT 1/0"))
        await replica.answers(mistake, INERROR, to=query("SELECT 1/0"))
        client.send(both)
        await replica.answers(*ROLLED_BACK, to=COMMIT)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(
            error("3B001", "no such savepoint"), INERROR, to=query("ROLLBACK TO dbproxy_failed")
        )
        await primary.answers(complete("ROLLBACK"), *WRITTEN, to=both)
        await client.receives(mistake, INERROR, complete("ROLLBACK"), *WRITTEN)


async def test_transaction_that_is_chained_to_a_failed_one_is_the_primarys():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        mistake, chain = error("22012", "division by zero"), query("ROLLBACK AND CHAIN")
        client.send(query("SELECT 1/0"))
        await replica.answers(mistake, INERROR, to=query("SELECT 1/0"))
        await client.receives(mistake, INERROR)
        client.send(chain)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(
            error("3B001", "no such savepoint"), INERROR, to=query("ROLLBACK TO dbproxy_failed")
        )
        await primary.answers(complete("ROLLBACK"), INTRANS, to=chain)
        await client.receives(complete("ROLLBACK"), INTRANS)


# --- more than a standby can ---


@pytest.mark.parametrize(
    "text",
    ["SET TRANSACTION READ WRITE", "LOCK t", "SELECT pg_export_snapshot()", "SET TRANSACTION SNAPSHOT '1'"],
)
async def test_transaction_that_wants_more_moves_to_the_primary(text: str):
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        client.send(query(text))
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(complete("DONE"), INTRANS, to=query(text))
        await client.receives(complete("DONE"), INTRANS)
        client.send(READ)
        await primary.answers(*ANSWER, to=READ)
        await client.receives(*ANSWER)
        assert scene.router.decisions["primary", "moved from a replica"] == 1


async def test_what_it_has_set_comes_along():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        setting, lock = query("SET LOCAL a.b = 1"), run("LOCK t") + SYNC
        client.send(run("SET LOCAL a.b = 1"), SYNC)
        await replica.receives(run("SET LOCAL a.b = 1"), SYNC)
        replica.send(ran("SET"), INTRANS)
        await client.receives(ran("SET"), INTRANS)
        client.send(lock)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(complete("SET"), INTRANS, to=setting)
        await primary.receives(lock)
        primary.send(ran("LOCK TABLE"), INTRANS)
        await client.receives(ran("LOCK TABLE"), INTRANS)


async def test_what_it_wants_is_found_behind_what_is_not_answered():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        setting = query("SET LOCAL a.b = 1")
        client.send(setting, query("LOCK t"), COMMIT)
        await replica.answers(complete("SET"), INTRANS, to=setting)
        await client.receives(complete("SET"), INTRANS)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.receives(BEGIN, setting, query("LOCK t"), COMMIT)
        primary.send(*BEGUN, complete("SET"), INTRANS, complete("LOCK TABLE"), INTRANS, *COMMITTED)
        await client.receives(complete("LOCK TABLE"), INTRANS, *COMMITTED)


async def test_transaction_that_has_read_does_not_move():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        client.send(query("LOCK t"))
        await replica.answers(STANDBY, INERROR, to=query("LOCK t"))
        await client.receives(STANDBY, INERROR)


async def test_transaction_that_was_chained_since_it_read_moves():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        chain = query("COMMIT AND CHAIN")
        client.send(chain)
        await replica.answers(complete("COMMIT"), INTRANS, to=chain)
        await client.receives(complete("COMMIT"), INTRANS)
        client.send(query("LOCK t"))
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.receives(BEGIN, chain, query("LOCK t"))
        primary.send(*BEGUN, complete("COMMIT"), INTRANS, complete("LOCK TABLE"), INTRANS)
        await client.receives(complete("LOCK TABLE"), INTRANS)


async def test_transaction_that_has_failed_does_not_move():
    async with playing() as scene:
        client, replica, _ = await begin(scene)
        mistake, aborted = error("22012", "division by zero"), error("25P02", "aborted")
        client.send(query("SELECT 1/0"))
        await replica.answers(mistake, INERROR, to=query("SELECT 1/0"))
        client.send(query("LOCK t"))
        await replica.answers(aborted, INERROR, to=query("LOCK t"))
        await client.receives(mistake, INERROR, aborted, INERROR)


async def test_transaction_in_one_chunk_that_wants_more_is_the_primarys():
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(BEGIN, query("LOCK t"), COMMIT)
        await primary.receives(BEGIN, query("LOCK t"), COMMIT)
        primary.send(*BEGUN, complete("LOCK TABLE"), INTRANS, *COMMITTED)
        await client.receives(*BEGUN, complete("LOCK TABLE"), INTRANS, *COMMITTED)
        assert scene.router.decisions["primary", "more than a standby can"] == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (STANDBY, rescue.READ_ONLY),
        (CONFLICT, rescue.CONFLICT),
        (error("42P01", 'relation "t" does not exist'), rescue.BEHIND),
        (error("55000", "cannot acquire lock while recovery is in progress"), rescue.RECOVERY),
    ],
)
async def test_what_a_standby_refuses_first_is_carried_out_by_the_primary(failure: bytes, reason: str):
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        call = query("SELECT f()")
        client.send(call)
        await replica.answers(failure, INERROR, to=call)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.answers(*ANSWER, to=call)
        await client.receives(*ANSWER)
        assert scene.rescues() == {reason: 1}


async def test_statement_that_was_parsed_and_refused_is_parsed_again_by_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        client.send(parse("mine", "SELECT f()"), bind("mine"), execute(), SYNC)
        parsed = await replica.receive()
        name = str(parsed.body.name)
        await replica.receives(bind(name), execute(), SYNC)
        replica.send(PARSE_COMPLETE, BIND_COMPLETE, STANDBY, INERROR)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.receives(parse(name, "SELECT f()"), bind(name), execute(), SYNC)
        primary.send(ran("SELECT 1"), INTRANS)
        await client.receives(ran("SELECT 1"), INTRANS)


async def test_statement_that_a_standby_cannot_parse_yet_is_described_by_the_primary():
    async with playing() as scene:
        client, replica, primary = await begin(scene)
        client.send(parse("mine", "SELECT a FROM young"), describe("mine"), SYNC)
        parsed = await replica.receive()
        name = str(parsed.body.name)
        await replica.receives(describe(name), SYNC)
        replica.send(error("42P01", 'relation "young" does not exist'), INERROR)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.receives(parse(name, "SELECT a FROM young"), describe(name), SYNC)
        primary.send(PARSE_COMPLETE, parameter_types(), columns("a"), INTRANS)
        await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"), INTRANS)
        assert scene.rescues() == {rescue.BEHIND: 1}


async def test_transaction_in_one_request_that_a_standby_refuses_is_the_primarys():
    async with playing() as scene:
        client, primary = await scene.enter()
        request = run("BEGIN READ ONLY") + run("SELECT f()") + SYNC
        client.send(request)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.receives(request)
        replica.send(ran("BEGIN"), PARSE_COMPLETE, BIND_COMPLETE, STANDBY, INERROR)
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await primary.receives(request)
        primary.send(ran("BEGIN"), ran("SELECT 1"), INTRANS)
        await client.receives(ran("BEGIN"), ran("SELECT 1"), INTRANS)


async def test_what_a_standby_refuses_later_is_told():
    async with playing() as scene:
        client, replica, _ = await begin(scene, READ)
        client.send(query("SELECT f()"))
        await replica.answers(STANDBY, INERROR, to=query("SELECT f()"))
        await client.receives(STANDBY, INERROR)
        client.send(query("ROLLBACK"))
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        await client.receives(*ROLLED_BACK)
        assert scene.rescues() == {}


async def test_client_that_waits_in_vain_for_the_primary_is_not_left_without_its_transaction():
    async with playing(**{"pool.size": 1, "pool.reserve_size": 0}) as scene:
        client, replica, primary = await begin(scene)
        other = await scene.house.client()
        other.send(query("BEGIN"))
        await primary.answers(*BEGUN, to=query("BEGIN"))
        await other.receives(*BEGUN)
        client.send(query("LOCK t"))
        await replica.answers(*ROLLED_BACK, to=ROLLBACK)
        pool = scene.house.proxy.pools["shop", "app"]
        await scene.house.until(lambda: len(pool.waiting) == 1)
        scene.house.sweep(later=121)
        await client.fails("53300")
        await client.hears_the_end()
