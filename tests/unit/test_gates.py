"""A request's way through gates: who is asked when, who hears that it is over, and that nothing of a wait is left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from dbproxy.errors import ProxyError
from dbproxy.gates import GO, Answer, Await, Delay, Refuse, Verdict
from dbproxy.pool.query import Query
from dbproxy.session.identity import Identity
from dbproxy.session.passage import Passage

LATER = 1e9


class Asker:
    """Asks again as a client does, and remembers how it ended."""

    identity = Identity(1, 0.0, 0.0, 1024)

    def __init__(self) -> None:
        self.passage: Passage | None = None
        self.asked_again = 0
        self.error: ProxyError | None = None

    def ask_again(self) -> None:
        self.asked_again += 1

    def refuse(self, error: ProxyError) -> None:
        self.error = error


class Gate:
    """Says these, one after the other, and the last one from then on."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.before_count = self.after_count = 0

    def before(self, request: Query, session: object, now: float) -> Verdict:
        self.before_count += 1
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def after(self, request: Query) -> None:
        self.after_count += 1


def passage(*gates: Any) -> tuple[Passage, Asker]:
    asker = Asker()
    return Passage(asker, Query(asker, None, b"", -1, 0.0), gates), asker


def counts(*gates: Gate) -> list[tuple[int, int]]:
    return [(gate.before_count, gate.after_count) for gate in gates]


def test_gates_are_asked_in_their_order_until_one_objects() -> None:
    gates = Gate(GO), Gate(Answer(b"known")), Gate(GO)
    way, _ = passage(*gates)
    assert way.ask(0.0) == Answer(b"known")
    assert counts(*gates) == [(1, 0), (1, 0), (0, 0)]


def test_gate_that_has_let_a_request_go_is_not_asked_again() -> None:
    first, second = Gate(GO), Gate(Delay(LATER), GO)
    way, _ = passage(first, second)
    assert way.ask(0.0) == Delay(LATER)
    assert way.ask(1.0) is GO
    assert way.ask(2.0) is GO
    assert counts(first, second) == [(1, 0), (2, 0)]


def test_only_gates_that_have_let_it_go_hear_that_it_is_over_and_once() -> None:
    gates = Gate(GO), Gate(Refuse(ProxyError("too many"))), Gate(GO)
    way, _ = passage(*gates)
    way.ask(0.0)
    way.close()
    way.close()
    assert counts(*gates) == [(1, 1), (1, 0), (0, 0)]


def test_gate_that_fails_when_a_request_is_over_costs_no_other_its_word() -> None:
    class Faulty(Gate):
        def after(self, request: Query) -> None:
            raise ValueError

    other = Gate(GO)
    way, _ = passage(Faulty(GO), other)
    way.ask(0.0)
    with capture_logs() as log:
        way.close()
    assert (other.after_count, [line["gate"] for line in log]) == (1, ["Faulty"])


async def test_delay_is_over_in_its_time() -> None:
    way, asker = passage()
    way.wait(Delay(10.0), 10.0)
    assert way.waiting == {asker: 10.0}
    async with asyncio.timeout(10):
        while not asker.asked_again:  # noqa: ASYNC110  # a plain number: nothing to await
            await asyncio.sleep(0)
    assert not way.waiting


async def test_who_leaves_while_it_is_delayed_leaves_no_timer() -> None:
    way, asker = passage()
    way.wait(Delay(LATER), 0.0)
    alarm = way.alarm
    way.leave(asker)
    assert alarm is not None
    assert alarm.cancelled()
    assert (way.waiting, way.alarm, asker.asked_again) == ({}, None, 0)


async def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: fail(ProxyError("try later")), "try later"),
        (
            lambda: fail(ValueError("secret")),
            "the request was refused: what Gate has waited for failed with ValueError",
        ),
    ],
)
async def test_what_is_waited_for_and_fails_refuses_the_request(
    work: Callable[[], Coroutine[Any, Any, None]], said: str
) -> None:
    way, asker = passage(Gate(GO))
    with capture_logs():
        way.wait(Await(work()), 0.0)
        await asyncio.wait([way.work])  # type: ignore[type-var, list-item]
        await asyncio.sleep(0)
    assert asker.error is not None
    assert (asker.error.message, asker.asked_again, way.waiting) == (said, 0, {})


async def test_own_work_of_who_leaves_ends_and_what_others_wait_for_goes_on() -> None:
    shared: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    own, asker = passage()
    own.wait(Await(work()), 0.0)
    other, other_asker = passage()
    other.wait(Await(shared), 0.0)
    await begun.wait()
    task = own.work
    own.leave(asker)
    other.leave(other_asker)
    assert task is not None
    await asyncio.wait([task])
    assert task.cancelled()
    assert not shared.done()
    shared.set_result(None)
    await asyncio.sleep(0)
    assert (asker.asked_again, other_asker.asked_again) == (0, 0)


async def test_work_that_is_done_as_its_asker_leaves_calls_nobody() -> None:
    shared: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    way, asker = passage()
    way.wait(Await(shared), 0.0)
    shared.set_result(None)  # its callback is on its way
    way.leave(asker)
    await asyncio.sleep(0)
    assert asker.asked_again == 0
