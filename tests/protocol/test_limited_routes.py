"""What is asked of a replica, and of another host then, is one transaction to its limit, paid for once."""

from time import monotonic

from tests.protocol import test_hedging as hedging
from tests.protocol import test_read_only_transactions as read_only
from tests.protocol.test_limits import LIMITED, subject
from tests.protocol.test_rescue import ANSWER, CONFLICT, READ, Scene, playing
from tests.support.speech import IDLE, INERROR, INTRANS, complete, query, rows


def standing(scene: Scene) -> tuple[int, int, int]:
    """Transactions that were let through, those that are paid for, those that run."""
    found = subject(scene.house)
    return found.used, found.rate.used(int(monotonic() * 1e6)), found.running


async def test_read_that_the_primary_answers_instead_of_a_replica_is_paid_for_once():
    async with playing(**LIMITED) as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(CONFLICT, IDLE, to=query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert standing(scene) == (1, 1, 0)


async def test_read_that_is_asked_again_of_another_replica_is_paid_for_once():
    async with playing(**LIMITED) as scene:
        client, _ = await scene.enter()
        client.send(query(READ))
        name, replica = await scene.asked("replica1", "replica2")
        await replica.receives(query(READ))
        replica.cut()
        _, other = await scene.asked(*({"replica1", "replica2"} - {name}))
        assert standing(scene) == (1, 1, 1)
        await other.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert standing(scene) == (1, 1, 0)


async def test_hedged_read_is_paid_for_once():
    async with hedging.playing(**LIMITED) as scene:
        hedger = hedging.watching(scene)
        client, name, replica = await hedging.asked(scene)
        hedging.sweep(hedger)
        _, other = await scene.asked(*(hedging.REPLICAS - {name}))
        await other.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        (await scene.hosts[name].cancelled()).finish()
        await replica.hears_the_end()
        assert standing(scene) == (1, 1, 0)


async def test_transaction_that_moves_to_the_primary_is_paid_for_once():
    async with read_only.playing(**LIMITED) as scene:
        client, replica, primary = await read_only.begin(scene)
        client.send(query("LOCK t"))
        await replica.answers(*read_only.ROLLED_BACK, to=read_only.ROLLBACK)
        await primary.answers(*read_only.BEGUN, to=read_only.BEGIN)
        await primary.answers(complete("LOCK TABLE"), INTRANS, to=query("LOCK t"))
        await client.receives(complete("LOCK TABLE"), INTRANS)
        assert standing(scene) == (1, 1, 1)
        client.send(query("COMMIT"))
        await primary.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
        await client.receives(complete("COMMIT"), IDLE)
        assert standing(scene) == (1, 1, 0)


async def test_transaction_that_a_standby_refuses_is_paid_for_once():
    async with read_only.playing(**LIMITED) as scene:
        client, replica, primary = await read_only.begin(scene)
        client.send(query(READ))
        await replica.answers(CONFLICT, INERROR, to=query(READ))
        await replica.answers(*read_only.ROLLED_BACK, to=read_only.ROLLBACK)
        await primary.answers(*read_only.BEGUN, to=read_only.BEGIN)
        await primary.answers(rows("42"), INTRANS, to=query(READ))
        await client.receives(rows("42"), INTRANS)
        assert standing(scene) == (1, 1, 1)
        client.send(query("ROLLBACK"))
        await primary.answers(complete("ROLLBACK"), IDLE, to=query("ROLLBACK"))
        await client.receives(complete("ROLLBACK"), IDLE)
        assert standing(scene) == (1, 1, 0)


async def test_transaction_that_is_at_its_limit_moves_to_the_primary_all_the_same():
    async with read_only.playing(**LIMITED) as scene:
        client, replica, primary = await read_only.begin(scene)
        subject(scene.house).rate.take(0, 10**9)
        client.send(query("LOCK t"))
        await replica.answers(*read_only.ROLLED_BACK, to=read_only.ROLLBACK)
        await primary.answers(*read_only.BEGUN, to=read_only.BEGIN)
        await primary.answers(complete("LOCK TABLE"), INTRANS, to=query("LOCK t"))
        await client.receives(complete("LOCK TABLE"), INTRANS)
