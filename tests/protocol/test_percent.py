"""routing.percent is a share of sessions: each has its arm, and takes over a switch between two transactions."""

from dbproxy.cluster.catalog import Catalog
from tests.protocol.test_gates import Gate
from tests.protocol.test_read_only_transactions import (
    ANSWER,
    BEGIN,
    BEGUN,
    COMMIT,
    COMMITTED,
    READ,
    ROLLED_BACK,
    begin,
)
from tests.protocol.test_rescue import Scene, playing
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import IDLE, INTRANS, complete, error, query, rows

READS, ANSWERED = query("SELECT 42"), (rows("42"), IDLE)


def switch(scene: Scene, percent: int) -> None:
    scene.router.apply(scene.router.settings.model_copy(update={"percent": percent}))


async def one_of_each(scene: Scene) -> tuple[RawClient, RawClient, Backend]:
    """A client of the treated arm, one of the control arm, and the primary."""
    client, primary = await scene.enter()
    feature = scene.router.feature
    found = {feature.arm_of(scene.house.inside(client).id).name: client}
    while len(found) < 2:
        client = await scene.house.client()
        found[feature.arm_of(scene.house.inside(client).id).name] = client
    scene.router.learn(Catalog())
    return found["treated"], found["control"], primary


async def ask(client: RawClient, server: Backend, *answer: bytes) -> None:
    client.send(READS)
    await server.answers(*(answer or ANSWERED), to=READS)
    await client.receives(*(answer or ANSWERED))


async def test_session_stays_in_its_arm_and_each_arm_counts_its_own():
    async with playing(**{"routing.percent": 50, "pool.size": 1}) as scene:
        treated, control, primary = await one_of_each(scene)
        for _ in range(5):
            await ask(control, primary)
        await ask(control, primary, error("22012", "division by zero"), IDLE)
        treated.send(READS)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*ANSWERED, to=READS)
        await treated.receives(*ANSWERED)
        feature = scene.router.feature
        arms = [(arm.requests, arm.errors, arm.microseconds > 0) for arm in feature.arms()]
        assert arms == [(1, 0, True), (6, 1, True)]
        assert scene.router.decisions["primary", "percent"] == 6


async def test_switch_holds_at_once_for_sessions_that_are_in_no_transaction():
    async with playing(**{"routing.percent": 50}) as scene:
        treated, control, primary = await one_of_each(scene)
        await ask(control, primary)
        switch(scene, percent=0)
        await ask(treated, primary)
        assert scene.house.inside(treated).route.stand.arm is scene.router.feature.control
        switch(scene, percent=100)
        control.send(READS)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*ANSWERED, to=READS)
        await control.receives(*ANSWERED)
        assert scene.router.feature.treated.requests == scene.router.feature.control.requests - 1 == 0


async def test_session_of_a_transaction_takes_the_switch_over_behind_it():
    async with playing() as scene:
        client, replica, primary = await begin(scene, READ)
        switch(scene, percent=0)
        stand = scene.house.inside(client).route.stand
        client.send(READ)
        await replica.answers(*ANSWER, to=READ)
        await client.receives(*ANSWER)
        client.send(COMMIT)
        await replica.answers(*COMMITTED, to=COMMIT)
        await client.receives(*COMMITTED)
        assert scene.house.inside(client).route.stand is stand
        await ask(client, primary)
        assert scene.house.inside(client).route.stand.arm is scene.router.feature.control


async def test_transaction_that_moves_keeps_its_stand_and_gates_are_not_asked_about_it_again():
    async with playing() as scene:
        gate = Gate()
        client, primary = await scene.enter()
        scene.house.pool.tenant.gates = (gate,)
        client.send(BEGIN)
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*BEGUN, to=BEGIN)
        await client.receives(*BEGUN)
        switch(scene, percent=0)
        stand = scene.house.inside(client).route.stand
        client.send(query("LOCK t"))
        await replica.answers(*ROLLED_BACK, to=query("ROLLBACK"))
        await primary.answers(*BEGUN, to=BEGIN)
        await primary.receives(query("LOCK t"))
        assert (scene.house.inside(client).route.stand, len(gate.asked), gate.over) == (stand, 1, gate.asked)
        primary.send(complete("LOCK TABLE"), INTRANS)
        await client.receives(complete("LOCK TABLE"), INTRANS)
