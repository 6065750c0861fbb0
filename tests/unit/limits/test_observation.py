"""What an observed transaction pays, that Redis was asked about while it ran."""

from typing import Any

import pytest

from dbproxy.config.limits import LimitSettings
from dbproxy.features.mode import Feature
from dbproxy.gates import GO
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.script import Found, Result
from dbproxy.limits.store import Store
from tests.support.peer import let_others_run
from tests.unit.limits.test_allowance import PLAIN, join
from tests.unit.limits.test_limiter import ask
from tests.unit.limits.test_reply import lease


class Scene:
    """One session that is observed, and a Redis that answers when it is told to."""

    def __init__(self) -> None:
        self.store = Store("redis://127.0.0.1:1", "rl:", timeout=1.0, graceful=True)
        self.store.fleet.succeed()
        limiter = Limiter(LimitSettings(tier="free"))
        limiter.share(self.store)
        self.allowance: Allowance = join(limiter, Feature("limits", "observe"))

    @property
    def subject(self) -> Any:
        return self.allowance.subjects[0]

    @property
    def standing(self) -> tuple[int, int, int]:
        """Of the subject: tokens in hand, transactions let through, transactions that run."""
        found = lease(self.subject)
        return found.hand // found.rate.interval, self.subject.used, self.subject.running

    def begin(self) -> None:
        assert not self.allowance.let_go(PLAIN, 0.0)
        assert ask(self.allowance) is GO

    def answer(self, allowed: bool | None) -> None:
        """None: Redis does not."""
        (errand,) = self.store.courier.errands
        self.store.courier.errands.clear()
        if allowed is None:
            errand.give_up(0)
        else:
            errand.settle(Result(allowed, (Found(0 if allowed else 6_000_000, 0, 72_000_000),)), 0)


def come_to_nothing(allowance: Allowance) -> None:
    allowance.give_up(0.0)


def only_prepare(allowance: Allowance) -> None:
    allowance.end(0.0, 0.0, 0, 0, 0)


@pytest.mark.parametrize("over", [come_to_nothing, only_prepare])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("allowed", "standing"), [(True, (1, 0, 0)), (False, (0, 0, 0)), (None, (0, 1, 0))])
async def test_nothing_is_given_back_that_was_never_paid(
    over: Any, late: bool, allowed: bool | None, standing: tuple[int, int, int]
):
    scene = Scene()
    scene.begin()
    if not late:
        scene.answer(allowed)
        await let_others_run()
    over(scene.allowance)
    if late:
        scene.answer(allowed)
        await let_others_run()
    assert scene.standing == standing
    assert not scene.allowance.running


async def test_what_redis_would_have_refused_is_not_charged_for_what_it_does():
    scene = Scene()
    scene.begin()
    scene.answer(False)
    await let_others_run()
    scene.allowance.end(1.0, 1.0, 5, 3, 3)
    assert (scene.standing, len(scene.store.courier.errands)) == ((0, 0, 0), 0)
    assert (scene.subject.tally.observed, scene.subject.tally.allowed) == (3, 0)


@pytest.mark.parametrize("late", [False, True])
async def test_what_redis_has_let_go_is_charged_for_what_came_behind_it(late: bool):
    scene = Scene()
    scene.begin()
    if not late:
        scene.answer(True)
        await let_others_run()
    scene.allowance.charge(0.5, 0.5, 0, 1, 1)
    scene.allowance.end(1.0, 0.5, 5, 2, 2)
    if late:
        scene.answer(True)
        await let_others_run()
    assert scene.subject.used == 3
    more = sum(item.more for errand in scene.store.courier.errands for item in errand.order.items)
    assert more == 2 * scene.subject.rate.interval


async def test_answer_about_one_says_nothing_of_the_next():
    scene = Scene()
    scene.begin()
    scene.allowance.end(0.0, 0.0, 0, 1, 1)
    lease(scene.subject).hand = lease(scene.subject).rate.interval
    assert scene.allowance.let_go(PLAIN, 0.0)
    scene.answer(False)
    await let_others_run()
    scene.allowance.give_up(0.0)
    assert scene.standing == (1, 0, 0)
