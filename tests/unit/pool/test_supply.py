"""What a pool opens and when it tries again, and what becomes of connections that are lost."""

import pytest

from dbproxy.errors import LoginRefused, ServerRefused, ServerUnavailable
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import CLOSED, LOGIN
from dbproxy.sql.statement import WRITES
from tests.unit.pool.fakes import FakeClient, FakePool, FakeServer, fill

UNREACHABLE = ServerUnavailable("cannot connect")
UNKNOWN = ServerRefused('database "shop" does not exist', sqlstate="3D000")


def test_move_that_is_not_in_the_table_is_a_bug():
    fake = FakePool()
    (server,) = fill(fake, "only")
    with pytest.raises(AssertionError, match="idle to new"):
        fake.pool.move(server, LOGIN)


# --- opening and losing -------------------------------------------------------------------------------------


def test_reserve_is_opened_for_those_who_have_waited_and_for_no_others():
    fake = FakePool(size=1, reserve_size=1, reserve_timeout=5.0)
    fill(fake, "only")
    fake.lend(FakeClient(), 0)
    fake.lend(FakeClient(), 10)
    fake.pool.open_more(14.9)
    assert fake.pool.size() == 1
    fake.pool.open_more(15)
    assert fake.pool.size() == 2
    fake.lend(FakeClient(), 16)
    fake.pool.open_more(100)
    assert fake.pool.size() == 2


def test_min_pool_size_is_opened_without_clients_and_replaced():
    fake = FakePool(min_pool_size=2, size=5)
    fake.pool.open_more(0)
    assert fake.launched == 2
    one, _ = fake.open("one"), fake.open("two")
    one.close("lost")
    assert fake.launched == 3


def test_failed_login_is_tried_again_after_a_growing_pause_and_one_at_a_time():
    fake = FakePool(size=5)
    for number in range(3):
        fake.lend(FakeClient(str(number)), 0)
    assert fake.launched == 3
    for _ in range(3):
        fake.pool.open_failed(UNREACHABLE, 0)
    fake.pool.open_more(0.39)
    assert fake.launched == 3
    fake.pool.open_more(0.41)
    assert fake.launched == 4
    fake.pool.open_more(0.42)
    assert fake.launched == 4
    fake.open("it", now=0.5)
    fake.pool.open_more(0.5)
    assert (fake.pool.failures, fake.launched) == (0, 6)


def test_who_waits_goes_on_waiting_when_no_server_can_be_reached():
    fake = FakePool()
    client, login = FakeClient(), FakeClient("login", impatient=True)
    fake.lend(client)
    fake.lend(login)
    fake.pool.open_failed(UNREACHABLE, 0)
    assert (client.refusal, login.refusal) == (None, UNREACHABLE)
    assert list(fake.pool.waiting) == [client]


def test_refusal_of_the_only_login_is_told_to_all():
    fake = FakePool()
    client = FakeClient()
    fake.lend(client)
    fake.pool.open_failed(UNKNOWN, 0)
    assert client.refusal is UNKNOWN
    assert not fake.pool.waiting


def test_refusal_beside_servers_that_work_is_told_to_nobody():
    fake = FakePool(size=2)
    fill(fake, "one")
    fake.lend(FakeClient())
    waiting = FakeClient(impatient=True)
    fake.lend(waiting)
    fake.pool.open_failed(UNKNOWN, 0)
    assert waiting.refusal is None
    assert list(fake.pool.waiting) == [waiting]


def test_lost_server_is_replaced_if_somebody_waits():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient())
    fake.lend(FakeClient())
    launched = fake.launched
    server.close("lost")
    assert fake.launched == launched + 1
    assert server.state == CLOSED


def test_given_up_attempt_makes_room():
    fake = FakePool(size=1)
    fake.lend(FakeClient())
    assert fake.pool.size() == 1
    fake.pool.opening_ended(0, given_up=False)
    assert fake.pool.size() == 0


def test_attempts_of_a_pool_that_is_retired_are_given_up_and_others_begun():
    fake = FakePool(size=1)
    attempt = FakeAttempt()
    fake.pool.attempts.add(attempt)
    fake.lend(FakeClient())
    launched = fake.launched
    fake.pool.retire("the host is down")
    assert attempt.cancelled
    fake.pool.opening_ended(0, given_up=True)
    assert fake.launched == launched + 1


class FakeAttempt:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def test_pool_is_forgettable_when_nothing_would_be_lost():
    fake = FakePool()
    assert fake.pool.forgettable(0)
    client = FakeClient()
    fake.lend(client)
    assert not fake.pool.forgettable(0)
    fake.pool.leave(client)
    assert not fake.pool.forgettable(0)  # one is being opened
    fake.pool.open_failed(UNREACHABLE, 10)
    assert not fake.pool.forgettable(10)
    assert fake.pool.forgettable(11)
    fake.pool.pause()
    assert not fake.pool.forgettable(11)
    assert not FakePool(min_pool_size=1).pool.forgettable(0)


def test_what_servers_say_at_login_is_what_clients_are_told():
    fake = FakePool()
    fill(fake, "only")
    assert fake.pool.welcome == {"server_version": "18.1"}


@pytest.mark.parametrize(("left", "pending"), [({"unplaced": True}, 1), ({"effects": WRITES}, 0)])
def test_commit_of_which_a_lost_server_has_not_told_is_lost(left: dict[str, object], pending: int):
    """`pending`: the server had been asked."""
    fake = FakePool()
    (server,) = fill(fake, "only")
    commits = fake.pool.tenant.commits
    commits.pending = pending
    for what, value in left.items():
        setattr(server.dialogue.traces, what, value)
    server.close("lost")
    assert commits.lost_at
    assert commits.pending == 0


def test_lost_server_on_which_nothing_was_written_loses_no_commit():
    fake = FakePool()
    (server,) = fill(fake, "only")
    server.close("lost")
    assert not fake.pool.tenant.commits.lost_at


def test_pool_is_shut_only_while_nothing_is_open():
    fake = FakePool(size=2)
    fake.lend(FakeClient(), 0)
    fake.lend(FakeClient(), 0)
    fake.open()
    fake.pool.open_failed(UNREACHABLE, 0)
    assert fake.pool.retry_at > 0
    assert not fake.pool.is_shut(0)


def test_what_was_wrong_last_is_known_until_a_connection_is_there():
    fake = FakePool(size=2)
    fake.lend(FakeClient())
    fake.lend(FakeClient())
    fake.pool.open_failed(UNREACHABLE, 0)
    assert fake.pool.last_error is UNREACHABLE
    fake.open()
    assert fake.pool.last_error is None


def test_login_waits_where_another_host_may_become_the_primary():
    fake, login = FakePool(), FakeClient("login", impatient=True)
    fake.pool.moves = True
    fake.lend(login)
    fake.pool.open_failed(UNREACHABLE, 0)
    assert login.refusal is None
    assert list(fake.pool.waiting) == [login]


def test_login_with_a_password_that_is_not_known_waits_for_no_other_primary():
    fake, login, client = FakePool(), FakeClient("login", impatient=True), FakeClient()
    fake.pool.moves = True
    fake.lend(login)
    fake.lend(client)
    refused = LoginRefused("no secret of that user is known")
    fake.pool.open_failed(refused, 0)
    assert (login.refusal, client.refusal) == (refused, refused)


def test_connection_that_was_opened_before_a_change_of_settings_is_closed_when_it_is_there():
    fake, client = FakePool(size=1), FakeClient()
    fake.lend(client)
    early = FakeServer(fake.pool, "early")
    fake.pool.retire()
    fake.pool.opened(early, 0)
    assert early.closed_for == "settings changed"
    assert client.server is None
    assert fake.open("late").client is client


# --- a replica's pool ---------------------------------------------------------------------------------------


def replica_pool() -> Pool:
    """Beside a primary's; it opens nothing by itself."""
    primary = FakePool().pool
    return Pool(primary.tenant, lambda _: None, lambda _: None, host=object())


def test_whoever_waits_for_a_replica_is_told_at_once_that_it_cannot_be_reached():
    pool, client = replica_pool(), FakeClient()
    assert pool.checkout(client, 0) is None
    pool.open_failed(UNREACHABLE, 0)
    assert client.refusal is UNREACHABLE
    assert not pool.waiting


def test_replica_that_failed_for_long_is_tried_again_soon_and_at_once_when_it_is_back():
    pool = replica_pool()
    for _ in range(20):
        pool.open_more(pool.retry_at)
        pool.checkout(FakeClient(), pool.retry_at)
        pool.open_failed(UNREACHABLE, 100)
    assert pool.retry_at <= 101
    assert pool.is_shut(100)
    pool.try_again(100)
    assert not pool.is_shut(100)
    assert pool.failures == 0
