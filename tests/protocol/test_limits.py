"""Rate limits: what is let through and what is refused, and that nothing in flight ever is."""

import re
import resource
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pytest

from dbproxy.admin.detail import describe_queues
from dbproxy.admin.figures import read_figures
from dbproxy.config.limits import LimitSettings
from dbproxy.session.overdue import sweep_overdue
from dbproxy.wire.build import startup_message
from tests.protocol.test_gates import ask
from tests.protocol.test_holders import show
from tests.protocol.test_rescue import CONFLICT, playing
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    execute,
    function_call,
    parse,
    query,
    row,
    rows,
)

Enter = Callable[..., Awaitable[House]]
LIMITED = {"limits.mode": "on", "limits.tier": "free"}


async def refused(client: RawClient, times: int = 1) -> None:
    """So many of its requests are, however long this machine took to come to it."""
    for _ in range(times):
        message = await client.fails("53400", 'rate limit exceeded for user "app" (tier free)')
        told = message.body.fields["D"], message.body.fields["H"]
        assert told[0] == "Used: 12; limit: 10/min and a burst of 2."
        assert re.fullmatch(r"retry after (6\.0|[0-5]\.\d) s", told[1])
        await client.receives(IDLE)


@pytest.fixture
async def spent(enter: Enter) -> tuple[House, RawClient, Backend]:
    """A house where this client has used all that its limit allows."""
    house = await enter(LIMITED)
    client, server = await house.pair()
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    return house, client, server


def change(house: House, **keys: object) -> None:
    """As a reload with other keys of [limits] does."""
    settings = house.proxy.settings
    written = {"mode": "on", "tier": "free"} | keys
    house.proxy.apply(settings.model_copy(update={"limits": LimitSettings(**written)}))  # type: ignore[arg-type]


def subject(house: House) -> Any:
    (found,) = house.proxy.limits.limiter.book
    return found


def subject_of(house: House, user: str) -> Any:
    """As it is before anybody has asked for anything."""
    book = house.proxy.limits.limiter.book
    return book.find(book.rules[0], user, 0)


async def test_request_over_the_limit_is_refused_and_the_connection_stays(
    spent: tuple[House, RawClient, Backend],
):
    house, client, server = spent
    client.send(query("SELECT 13"))
    await refused(client)
    subject(house).rate.tat -= 6_000_000  # six seconds later
    await ask(client, server, "SELECT 13")
    assert (subject(house).used, subject(house).refused) == (13, 1)


async def test_refused_batch_is_discarded_up_to_its_sync(spent: tuple[House, RawClient, Backend]):
    house, client, server = spent
    client.send(parse("", "SELECT 13"), bind(), execute(), bind(), execute(), SYNC)
    await refused(client)
    subject(house).rate.tat -= 6_000_000
    client.send(parse("", "SELECT 14"), bind(), execute(), SYNC)
    await server.answers(
        PARSE_COMPLETE,
        BIND_COMPLETE,
        row("1"),
        complete(),
        IDLE,
        to=b"".join((parse("", "SELECT 14"), bind(), execute(), SYNC)),
    )


async def test_transaction_that_has_begun_is_never_refused(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    subject(house).rate.take(0, 10**9)
    for text in ("SELECT 1", "SELECT 2"):
        client.send(query(text))
        await server.answers(rows("1"), INTRANS, to=query(text))
        await client.receives(rows("1"), INTRANS)
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await client.receives(complete("COMMIT"), IDLE)


@pytest.mark.parametrize("text", ["COMMIT", "rollback;", "  end", "DISCARD ALL", "close all", ""])
async def test_what_only_ends_or_cleans_up_is_never_refused(
    spent: tuple[House, RawClient, Backend], text: str
):
    _, client, server = spent
    client.send(query(text))
    await server.answers(complete("DONE"), IDLE, to=query(text))
    await client.receives(complete("DONE"), IDLE)


async def test_other_user_is_not_concerned(spent: tuple[House, RawClient, Backend]):
    house, _, _ = spent
    other = await house.client("other")
    server = await house.server.accept()
    await ask(other, server)


def hold_back(house: House) -> None:
    """The next request has 0.2 s to wait."""
    rate = subject(house).rate
    rate.tat = int(monotonic() * 1e6) + rate.capacity - rate.interval + 200_000


async def test_held_back_request_goes_when_its_time_has_come(enter: Enter):
    house = await enter({**LIMITED, "limits.action": "delay", "limits.max_delay": "7s"})
    client, server = await house.pair()
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    hold_back(house)
    client.send(query("SELECT 13"))
    await house.until(lambda: subject(house).tally.delayed == 1)
    await server.answers(rows("1"), IDLE, to=query("SELECT 13"))
    await client.receives(rows("1"), IDLE)
    client.send(query("SELECT 14"), query("SELECT 15"))
    await house.until(lambda: subject(house).tally.delayed == 2)
    client.cut()
    await house.until(lambda: subject(house).running == 0)
    assert subject(house).used == 13, "who leaves meanwhile has used nothing"


async def test_who_is_held_back_is_shown_with_why(enter: Enter):
    house = await enter({**LIMITED, "limits.action": "delay", "limits.max_delay": "30s"})
    client, server = await house.pair()
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    client.send(query("SELECT 13"))
    await house.until(lambda: subject(house).tally.delayed == 1)
    (wait,) = show(house, "waits")
    assert (wait["waits_for"], wait["holders"], wait["holder"]) == ("limit", 0, None)
    reason = r'user "app" \(tier free\): Used: 13; limit: 10/min and a burst of 2\. It goes in [56]\.\d s\.'
    assert re.fullmatch(reason, wait["reason"])


async def test_only_so_many_transactions_are_open_at_once(enter: Enter):
    house = await enter(LIMITED)
    change(house, tiers={"free": {"max_concurrent": 1, "max_wait": "60s"}})
    first, server = await house.pair()
    first.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await first.receives(complete("BEGIN"), INTRANS)
    second = await house.client()
    second.send(query("SELECT 2"))
    await house.until(lambda: len(subject(house).queue) == 1)
    first.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await first.receives(complete("COMMIT"), IDLE)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await second.receives(rows("2"), IDLE)
    assert (subject(house).running, subject(house).promised) == (0, 0)


async def test_limit_is_switched_on_for_those_who_are_there_already(enter: Enter):
    house = await enter({"limits.tier": "free"})
    client, server = await house.pair()
    for number in range(15):
        await ask(client, server, f"SELECT {number}")
    settings = house.proxy.settings
    house.proxy.apply(
        settings.model_copy(update={"limits": settings.limits.model_copy(update={"mode": "on"})})
    )
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    client.send(query("SELECT 13"))
    await refused(client)
    change(house, mode="off")
    await ask(client, server, "SELECT 13")


async def test_too_many_logins_are_refused(enter: Enter):
    house = await enter({**LIMITED, "limits.count": "logins"})
    client, server = await house.pair()
    for _ in range(20):
        await ask(client, server)
    for _ in range(11):
        await house.client()
    late = await house.dial()
    late.send(startup_message({"user": "app", "database": "shop"}))
    await late.fails("53300", 'too many logins for user "app" (tier free)')


async def test_pipeline_is_let_through_as_far_as_the_limit_goes(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    client.send(*(query(f"SELECT {number}") for number in range(15)))
    for number in range(12):
        await server.answers(rows("1"), IDLE, to=query(f"SELECT {number}"))
    await client.receives(*(rows("1"), IDLE) * 12)
    await refused(client, 3)
    assert (subject(house).used, subject(house).refused) == (12, 3)
    subject(house).rate.tat -= 6_000_000
    await ask(client, server, "SELECT 16")


async def test_pipeline_is_sent_as_it_comes_where_limits_are_observed(enter: Enter):
    house = await enter({**LIMITED, "limits.mode": "observe"})
    client, server = await house.pair()
    queries = [query(f"SELECT {number}") for number in range(30)]
    client.send(*queries)
    await server.receives(*queries)
    server.send(*(rows("1"), IDLE) * 30)
    await client.receives(*(rows("1"), IDLE) * 30)
    await house.until(lambda: subject(house).tally.observed == 18)
    assert (subject(house).used, subject(house).tally.allowed + subject(house).tally.burst) == (12, 12)


async def test_batches_in_a_pipeline_are_let_through_as_far_as_the_limit_goes(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    subject_of(house, "app").rate.tat = int(monotonic() * 1e6) + 60_000_000
    batch = b"".join((parse("", "SELECT 1"), bind(), execute(), SYNC))
    client.send(batch * 4)
    answer = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE)
    for _ in range(2):
        await server.answers(*answer, to=batch)
    await client.receives(*answer * 2)
    await refused(client, 2)


async def test_transactions_in_a_pipeline_are_not_torn(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    subject_of(house, "app").rate.tat = int(monotonic() * 1e6) + 66_000_000
    client.send(query("BEGIN"), query("SELECT 1"), query("SELECT 2"), query("COMMIT"), query("SELECT 3"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await server.answers(rows("1"), INTRANS, to=query("SELECT 1"))
    await server.answers(rows("2"), INTRANS, to=query("SELECT 2"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await client.receives(complete("BEGIN"), INTRANS, rows("1"), INTRANS, rows("2"), INTRANS)
    await client.receives(complete("COMMIT"), IDLE)
    await refused(client)


async def test_client_that_keeps_its_server_is_asked_about_at_each_transaction(enter: Enter):
    house = await enter({**LIMITED, "pool.mode": "session"})
    client, server = await house.pair()
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    client.send(query("SELECT 13"))
    await refused(client)
    client.send(parse("", "SELECT 14"), bind(), execute(), SYNC)
    await refused(client)
    subject(house).rate.tat -= 6_000_000
    await ask(client, server, "SELECT 15")
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await client.receives(complete("COMMIT"), IDLE)


async def test_client_that_keeps_its_server_can_cancel_what_waits_for_its_limit(enter: Enter):
    timeouts = {"pool.query_timeout": "1ms", "pool.transaction_timeout": "1ms"}
    delayed = {"limits.action": "delay", "limits.max_delay": "60s", "pool.mode": "session"}
    house = await enter({**LIMITED, **delayed, **timeouts})
    client, server = await house.pair()
    subject_of(house, "app").rate.tat = int(monotonic() * 1e6) + 66_000_000  # one is left
    await ask(client, server, "SELECT 1")
    for request in (query("SELECT 2"), parse("", "SELECT 3") + bind() + execute() + SYNC):
        client.send(request)
        await house.until(lambda: subject(house).running == 1)
        sweep_overdue(house.inside(client).pool, monotonic() + 60)  # no query, and no transaction, has begun
        await client.cancel()
        await client.fails("57014", "canceling statement due to user request")
        await client.receives(IDLE)
        assert (subject(house).running, subject(house).used) == (0, 1)
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))


async def test_refusals_of_one_tenant_do_not_flood_the_log(
    spent: tuple[House, RawClient, Backend], log: list[Any]
):
    house, client, _ = spent
    for _ in range(20):
        client.send(query("SELECT 13"))
        await refused(client)
    (line,) = [line for line in log if line["event"] == "request refused"]
    assert (line["sqlstate"], line["rule"], line["key"], line["tier"]) == ("53400", "user", "app", "free")
    assert line["user"] == "app"
    house.proxy.limits.sweep(monotonic() + 1)
    (_, line) = [line for line in log if line["event"] == "request refused"]
    assert (line["more"], line["rule"], line["key"], line["tier"]) == (19, "user", "app", "free")
    assert subject(house).tally.rejected == 20


async def test_exempt_requests_are_counted_as_such(enter: Enter):
    house = await enter({**LIMITED, "limits.exempt": "app"})
    client, server = await house.pair()
    for number in range(15):
        await ask(client, server, f"SELECT {number}")
    assert (subject(house).tally.exempt, subject(house).tally.allowed) == (15, 0)


async def test_time_that_requests_are_held_back_is_counted(enter: Enter):
    house = await enter({**LIMITED, "limits.action": "delay", "limits.max_delay": "7s"})
    client, server = await house.pair()
    for number in range(12):
        await ask(client, server, f"SELECT {number}")
    hold_back(house)
    await ask(client, server, "SELECT 13")
    delays = house.proxy.limits.limiter.delays
    assert sum(delays.buckets) == 1
    assert 0 < delays.seconds <= 0.2


async def test_time_that_is_waited_for_a_transaction_to_end_is_counted(enter: Enter):
    house = await enter(LIMITED)
    change(house, tiers={"free": {"max_concurrent": 1, "max_wait": "60s"}})
    first, server = await house.pair()
    first.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await first.receives(complete("BEGIN"), INTRANS)
    second = await house.client()
    second.send(query("SELECT 2"))
    await house.until(lambda: len(subject(house).queue) == 1)
    (wait,) = show(house, "waits")
    assert (wait["client"], wait["waits_for"], wait["statement"]) == (
        house.inside(second).id,
        "limit",
        "SELECT $?",
    )
    assert wait["reason"] == 'user "app" (tier free): Transactions open: 1; limit: 1.'
    assert (wait["holders"], wait["holder"]) == (1, house.inside(first).id)
    assert (wait["holder_statement"], wait["holder_state"]) == ("BEGIN", "idle in transaction")
    (holder,) = show(house, "holders")
    assert (holder["client"], holder["limit"], holder["held_back"]) == (wait["holder"], 'user "app"', 1)
    queues = describe_queues(house.proxy, read_figures(house.proxy, monotonic()), monotonic())
    assert (queues["clients"]["limit"], queues["clients"]["task"]) == (1, 0)
    first.cut()
    await house.until(lambda: sum(house.proxy.limits.limiter.delays.buckets) == 1)


def open_files(most: int) -> int:
    """How many connections a test may have, each with four ends in this process."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    return min(most, (allowed - 1000) // 4)


@pytest.mark.parametrize("wanted", [100, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.timeout(900)
async def test_none_of_many_transactions_that_are_open_at_the_limit_is_refused(enter: Enter, wanted: int):
    number = open_files(wanted)
    house = await enter({**LIMITED, "pool.size": number, "pool.max_client_conn": 2 * number})
    change(house, tiers={"free": {"rate": f"{number}/300d"}})
    pairs = []
    for _ in range(number):
        client = await house.client()
        client.send(query("BEGIN"))
        server = await house.server.accept()
        await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
        await client.receives(complete("BEGIN"), INTRANS)
        pairs.append((client, server))
    late = await house.client()
    late.send(query("SELECT 1"))
    await late.fails("53400")
    for client, server in pairs:
        client.send(query("SELECT 1"), query("COMMIT"))
        await server.answers(rows("1"), INTRANS, to=query("SELECT 1"))
        await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
        await client.receives(rows("1"), INTRANS, complete("COMMIT"), IDLE)
    assert (subject(house).used, subject(house).refused, subject(house).running) == (number, 1, 0)


async def test_reads_that_wait_for_their_limit_are_not_sent_again_with_those_ahead_of_them():
    async with playing(**LIMITED) as scene:
        client, primary = await scene.enter()
        subject_of(scene.house, "app").rate.tat = int(monotonic() * 1e6) + 60_000_000  # two are left
        client.send(*(query(f"SELECT {number}") for number in range(4)))
        _, replica = await scene.asked("replica1", "replica2")
        await replica.answers(CONFLICT, IDLE, to=query("SELECT 0"))
        for number in range(2):
            await primary.answers(rows("1"), IDLE, to=query(f"SELECT {number}"))
        await client.receives(*(rows("1"), IDLE) * 2)
        await refused(client, 2)
        await let_others_run()
        assert (subject(scene.house).used, subject(scene.house).refused) == (2, 2)


async def test_each_query_of_a_transaction_counts_where_queries_are_counted(enter: Enter):
    house = await enter({**LIMITED, "limits.count": "queries"})
    client, server = await house.pair()
    for text, status in (("BEGIN", INTRANS), ("SELECT 1", INTRANS), ("SELECT 2", INTRANS), ("COMMIT", IDLE)):
        client.send(query(text))
        await server.answers(complete(text), status, to=query(text))
        await client.receives(complete(text), status)
    assert subject(house).used == 4


@pytest.mark.parametrize(
    "messages",
    [
        (query("COMMIT; SELECT 1"),),
        (parse("", "COMMIT"), bind(), execute(), parse("", "SELECT 1"), bind(), execute(), SYNC),
        (function_call(1),),
        (execute("held"), SYNC),
    ],
)
async def test_what_does_more_than_to_end_a_transaction_is_refused(
    spent: tuple[House, RawClient, Backend], messages: tuple[bytes, ...]
):
    _, client, _ = spent
    client.send(*messages)
    await refused(client)


async def test_transactions_of_one_text_are_charged(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    text = "BEGIN; COMMIT; BEGIN; COMMIT; BEGIN; COMMIT"
    client.send(query(text))
    tags = [complete(tag) for tag in ("BEGIN", "COMMIT") * 3]
    await server.answers(*tags, IDLE, to=query(text))
    await client.receives(*tags, IDLE)
    assert subject(house).used == 3


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("COMMIT AND CHAIN", ["COMMIT"]),
        ("COMMIT AND CHAIN", ["ROLLBACK"]),  # one that has failed
        ("ROLLBACK AND CHAIN", ["ROLLBACK"]),
        ("SELECT 1; ROLLBACK AND CHAIN; SELECT 2", ["SELECT 1", "ROLLBACK", "SELECT 1"]),
        ("ROLLBACK; BEGIN", ["ROLLBACK", "BEGIN"]),
        ("ROLLBACK; START TRANSACTION", ["ROLLBACK", "START TRANSACTION"]),
        ("COMMIT; BEGIN", ["COMMIT", "BEGIN"]),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
async def test_transaction_that_begins_as_another_ends_is_charged_before_it_ends(
    enter: Enter, text: str, tags: list[str], extended: bool
):
    house = await enter(LIMITED)
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    answers, request = [complete(tag) for tag in tags], query(text)
    if extended:
        texts = text.split("; ")
        request = b"".join((*(parse("", each) + bind() + execute() for each in texts), SYNC))
        answers = [b"".join((PARSE_COMPLETE, BIND_COMPLETE, answer)) for answer in answers]
    for _ in range(3):
        client.send(request)
        await server.answers(*answers, INTRANS, to=request)
        await client.receives(*answers, INTRANS)
    assert (subject(house).used, subject(house).running) == (4, 1)
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await client.receives(complete("COMMIT"), IDLE)
    assert (subject(house).used, subject(house).running) == (4, 0)


async def test_transaction_that_is_rolled_back_to_a_savepoint_goes_on(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    for text in ("BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TO a", "SELECT 1"):
        client.send(query(text))
        await server.answers(complete(text.split()[0]), INTRANS, to=query(text))
        await client.receives(complete(text.split()[0]), INTRANS)
    assert (subject(house).used, subject(house).running) == (1, 1)


async def test_who_leaves_an_open_transaction_has_paid_for_it(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.cut()
    await house.until(lambda: not subject(house).running)
    assert (subject(house).used, subject(house).sessions) == (1, 0)


async def test_who_leaves_before_the_answer_has_paid_for_it(enter: Enter):
    house = await enter(LIMITED)
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(to=query("SELECT 1"))
    client.cut()
    await house.until(lambda: not subject(house).running)
    assert (subject(house).used, subject(house).sessions) == (1, 0)


async def test_queries_inside_a_transaction_are_charged_each(enter: Enter):
    house = await enter({**LIMITED, "limits.count": "queries"})
    client, server = await house.pair()
    for text, answer in (("BEGIN", INTRANS), ("SELECT 1", INTRANS), ("COMMIT", IDLE)):
        client.send(query(text))
        await server.answers(complete(text.split()[0]), answer, to=query(text))
        await client.receives(complete(text.split()[0]), answer)
    client.send(query("SELECT 1; SELECT 2"))
    await server.answers(rows("1"), rows("2"), IDLE, to=query("SELECT 1; SELECT 2"))
    await client.receives(rows("1"), rows("2"), IDLE)
    assert subject(house).used == 5


async def test_others_are_served_between_the_refusals_of_a_long_pipeline(
    spent: tuple[House, RawClient, Backend],
):
    house, client, _ = spent
    other = await house.client("other")
    server = await house.server.accept()
    client.send(query("SELECT 13") * 3000)  # less than is read at once
    await house.until(lambda: subject_of(house, "app").refused > 0)
    await ask(other, server)
    assert subject_of(house, "app").refused < 3000
    await house.until(lambda: subject_of(house, "app").refused == 3000)
