"""What a transaction leaves in its session: asked of the server, taken over or undone (pool.audit, session.state)."""

import pytest

from dbproxy.sql.statement import LOCKS, UNKNOWN
from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend, findings
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    close,
    columns,
    complete,
    describe,
    error,
    execute,
    notification,
    parameter_status,
    parse,
    query,
    row,
    rows,
)

CANCELLED = error("57014", "canceling statement due to user request")
TIMED_OUT = error("57014", "canceling statement due to statement timeout")
SET = "SET work_mem = '9MB'"
RESET = query('RESET "work_mem"')
REPLAYED = query("SELECT pg_catalog.set_config('work_mem', '9MB', false)")
LOCK = "SELECT pg_advisory_lock(1)"
NO_SQL = "refused by the proxy"  # what is sent instead of a refused statement
SYNTAX_ERROR = error("42601", 'syntax error at or near "refused"')
FAILED = error("25P02", "current transaction is aborted")
PREPARE = "PREPARE mine AS SELECT 42"


async def prepare_by_sql(client: RawClient, server: Backend) -> None:
    """Afterwards no server has it."""
    await asks(client, server, PREPARE, complete("PREPARE"), IDLE)
    await server.answers_audit(prepared={"mine": (True, PREPARE)})
    await server.answers(complete("DEALLOCATE"), IDLE, to=query('DEALLOCATE "mine"'))


async def asks(client: RawClient, server: Backend, sql: str, *answer: bytes) -> None:
    client.send(query(sql))
    await server.answers(*answer, to=query(sql))
    await client.receives(*answer)


async def sets(client: RawClient, server: Backend) -> None:
    """The client has work_mem of its own."""
    await asks(client, server, SET, complete("SET"), IDLE)
    await server.answers_audit(settings={"work_mem": "9MB"})


async def is_idle(house: House) -> None:
    await house.until(lambda: house.pool.counts()["idle"] == 1)


# --- the question -------------------------------------------------------------------------------------------


async def test_nothing_is_asked_behind_statements_that_leave_nothing(house: House):
    client, server = await house.pair()
    await asks(client, server, "SELECT 1", rows("1"), IDLE)
    await is_idle(house)
    await server.hears_nothing()


async def test_question_comes_once_the_transaction_is_over_and_the_client_has_its_answer(house: House):
    client, server = await house.pair()
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    await asks(client, server, SET, complete("SET"), INTRANS)
    await asks(client, server, LOCK, rows(""), INTRANS)
    await server.hears_nothing()
    await asks(client, server, "COMMIT", complete("COMMIT"), IDLE)
    question = await server.audited()
    assert "'work_mem'" in question
    assert "'locks'" in question
    server.send(findings(question, settings={"work_mem": "9MB"}), IDLE)
    await is_idle(house)


async def test_server_is_not_lent_before_the_question_is_answered(house: House):
    client, server = await house.pair()
    other = await house.client()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    other.send(query("SELECT 1"))
    await server.hears_nothing()
    server.send(findings(question, settings={"work_mem": "9MB"}), IDLE)
    await server.answers(complete("RESET"), IDLE, to=RESET)
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


async def test_what_the_client_sends_meanwhile_is_answered_in_order(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    client.send(query("SELECT 1"), query("SELECT 2"))
    await server.receives(query("SELECT 1"), query("SELECT 2"))
    server.send(findings(question, settings={"work_mem": "9MB"}), IDLE, rows("1"), IDLE, rows("2"), IDLE)
    await client.receives(rows("1"), IDLE, rows("2"), IDLE)
    await is_idle(house)
    await asks(client, server, "SELECT 3", rows("3"), IDLE)  # the server has the client's setting


async def test_what_is_set_behind_the_question_counts_for_what_is_parsed_behind_that(house: House):
    """The answer tells what came before: a statement shared by it would have constants of another TimeZone."""
    client, server = await house.pair()
    kabul, date = query("SET TimeZone = 'Asia/Kabul'"), "SELECT '2024-01-01 12:00'::timestamptz"
    await asks(client, server, "SET TimeZone = 'Asia/Tokyo'", complete("SET"), IDLE)
    question = await server.audited()
    client.send(kabul)
    await server.receives(kabul)
    server.send(findings(question, settings={"TimeZone": "Asia/Tokyo"}), IDLE, complete("SET"), IDLE)
    await client.receives(complete("SET"), IDLE)
    question = await server.audited()
    client.send(parse("s1", date), SYNC)
    await server.receives(FLUSH)  # the Parse waits for the answer
    server.send(findings(question, settings={"TimeZone": "Asia/Kabul"}), IDLE)
    parsed, _ = await server.receive_until(SYNC)
    assert parsed.body.query == "SELECT '2024-01-01 12:00'::timestamptz"
    assert house.inside(client).prepared.statements[b"s1"].scope.read == (("timezone", "Asia/Kabul"),)


async def test_extended_request_is_answered_behind_the_question_too(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    client.send(parse("", "SELECT 1"), bind(""), describe(""), execute(), SYNC)
    await server.receive_until(SYNC)
    answer = (PARSE_COMPLETE, BIND_COMPLETE, columns("a"), row("1"), complete(), IDLE)
    server.send(findings(question), IDLE)
    server.send(*answer)
    await client.receives(*answer)


async def test_question_is_answered_whatever_the_splitting(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    left = findings(question, settings={"work_mem": "9MB"})
    await server.send_in_crumbs(left, IDLE, rows("1"), IDLE, size=3)
    await client.receives(rows("1"), IDLE)
    await is_idle(house)


async def test_rows_right_behind_our_answer_are_the_clients(house: House):
    """An Execute without Describe: its answer begins with a row, which has no mark."""
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), SYNC)
    ours = (await server.receive()).body.name
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    await asks(client, server, SET, complete("SET"), INTRANS)
    client.send(bind("s"), FLUSH)
    await server.receives(bind(ours), FLUSH)
    server.send(BIND_COMPLETE)
    await client.receives(BIND_COMPLETE)
    client.send(SYNC, query("COMMIT"))
    await server.receives(SYNC, query("COMMIT"))
    server.send(INTRANS, complete("COMMIT"), IDLE)
    await client.receives(INTRANS, complete("COMMIT"), IDLE)
    question = await server.audited()
    client.send(execute(), SYNC)
    await server.receives(execute(), SYNC)
    server.send(findings(question), IDLE, row("1"), row("2"), complete("SELECT 2"), IDLE)
    await client.receives(row("1"), row("2"), complete("SELECT 2"), IDLE)


async def test_setting_that_was_refused_is_not_taken_for_the_sessions(house: House):
    """Asked for by its name alone it would have a value."""
    client, server = await house.pair()
    refused = error("55P02", 'parameter "fsync" cannot be changed now')
    await asks(client, server, "SET fsync = off", refused, IDLE)
    question = await server.audited()
    assert "'settings'" in question
    server.send(findings(question), IDLE)
    await asks(await house.client(), server, "SELECT 1", rows("1"), IDLE)
    await asks(client, server, "SELECT 2", rows("2"), IDLE)


async def test_custom_settings_are_asked_for_by_name_wherever_all_are(house: House):
    """No list has them."""
    client, server = await house.pair()
    await asks(client, server, "SET custom.one = '1'", complete("SET"), IDLE)
    await server.answers_audit(settings={"custom.one": "1"})
    await asks(client, server, "RESET ALL", complete("RESET"), IDLE)
    question = await server.audited()
    assert "current_setting('custom.one', true)" in question
    server.send(findings(question, settings={"custom.one": ""}), IDLE)
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.answers(complete("RESET"), IDLE, to=query('RESET "custom"."one"'))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)
    client.send(query("SELECT 2"))
    await server.receives(query("SELECT pg_catalog.set_config('custom.one', '', false)"), query("SELECT 2"))


# --- no answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [CANCELLED, TIMED_OUT])
async def test_question_that_was_cancelled_is_asked_again(house: House, wrong: bytes):
    """A cancel that came late, or a timeout of the client's own, hits what runs just then."""
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    server.send(wrong, IDLE)
    assert await server.audited() == question
    server.send(wrong, IDLE)
    await server.answers_audit(settings={"work_mem": "9MB"})
    await is_idle(house)
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.receives(RESET, query("SELECT 1"))


async def test_question_that_is_cancelled_behind_its_row_is_answered(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    left = findings(question, settings={"work_mem": "9MB"})
    server.send(left.removesuffix(complete("SELECT 1")), CANCELLED, IDLE)
    await is_idle(house)
    await server.hears_nothing()


async def test_server_that_does_not_answer_three_times_is_closed_and_its_client_told(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    for _ in range(3):
        await server.audited()
        server.send(CANCELLED, IDLE)
    await client.fails("08006", "57014 canceling statement")
    await client.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)


async def test_cancel_that_comes_while_only_our_question_runs_reaches_nobody(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    messenger = await client.cancel()
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel
    server.send(findings(question, settings={"work_mem": "9MB"}), IDLE)
    await is_idle(house)


async def test_cancel_of_a_request_behind_our_question_reaches_the_server_when_that_is_answered(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    messenger = await client.cancel()
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel
    server.send(findings(question), IDLE)
    cancel = await house.server.cancelled()
    server.send(CANCELLED, IDLE)
    await client.receives(CANCELLED, IDLE)
    cancel.finish()
    await is_idle(house)


async def test_cancel_hits_the_request_and_not_the_settings_that_went_ahead_of_it(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    await server.answers_audit(settings={"work_mem": "9MB"})
    other = await house.client()
    other.send(query("SELECT 2"))
    await server.answers(rows(""), IDLE, rows("2"), IDLE, to=RESET + query("SELECT 2"))
    await other.receives(rows("2"), IDLE)
    client.send(query("SELECT 1"))
    await server.receives(REPLAYED, query("SELECT 1"))
    await client.cancel()
    server.send(rows("9MB"), IDLE)
    cancel = await house.server.cancelled()
    server.send(CANCELLED, IDLE)
    await client.receives(CANCELLED, IDLE)
    cancel.finish()
    await is_idle(house)


# --- the client leaves --------------------------------------------------------------------------------------


async def test_server_whose_client_leaves_during_the_question_is_kept_if_nothing_is_left(house: House):
    client, server = await house.pair()
    await asks(client, server, LOCK, rows(""), IDLE)
    question = await server.audited()
    client.cut()
    await server.receives(query(""))
    server.send(findings(question), IDLE, IDLE)
    await is_idle(house)
    await asks(await house.client(), server, "SELECT 1", rows("1"), IDLE)


async def test_settings_of_a_client_that_left_during_the_question_are_undone(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    question = await server.audited()
    client.cut()
    await server.receives(query(""))
    server.send(findings(question, settings={"work_mem": "9MB"}), IDLE, IDLE)
    await is_idle(house)
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.receives(RESET, query("SELECT 1"))


@pytest.mark.parametrize("left", [{"locks": True}, {"temp": True}, {"cursors": True}])
async def test_pins_of_a_client_that_left_during_the_question_are_discarded(
    house: House, left: dict[str, object]
):
    client, server = await house.pair()
    await asks(client, server, "SELEC", SYNTAX_ERROR, IDLE)  # as far as we know it might have done anything
    question = await server.audited()
    client.cut()
    await server.receives(query(""))
    server.send(findings(question, **left), IDLE, IDLE)
    await server.answers(complete("DISCARD ALL"), IDLE, to=query("DISCARD ALL"))
    await is_idle(house)


async def test_statements_of_a_client_that_left_during_the_question_are_not_left_to_the_next(house: House):
    client, server = await house.pair()
    await asks(client, server, "PREPARE mine AS SELECT 1", complete("PREPARE"), IDLE)
    question = await server.audited()
    client.cut()
    await server.receives(query("DISCARD ALL"))
    server.send(findings(question, prepared={"mine": (True, "PREPARE mine AS SELECT 1")}), IDLE)
    server.send(complete("DISCARD ALL"), IDLE)
    await server.answers(complete("DISCARD ALL"), IDLE, to=query("DISCARD ALL"))
    await is_idle(house)


async def test_pinned_server_of_a_client_that_leaves_is_discarded(house: House):
    client, server = await house.pair()
    await asks(client, server, LOCK, rows(""), IDLE)
    await server.answers_audit(locks=True)
    client.send(TERMINATE)
    await server.answers(complete("DISCARD ALL"), IDLE, to=query("DISCARD ALL"))
    await is_idle(house)


async def test_transaction_of_a_client_that_leaves_is_rolled_back_and_discarded(house: House):
    client, server = await house.pair()
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    await asks(client, server, "CREATE TEMP TABLE t ()", complete("CREATE TABLE"), INTRANS)
    client.cut()
    await server.receives(query("ROLLBACK"), query("DISCARD ALL"))
    server.send(complete("ROLLBACK"), IDLE, complete("DISCARD ALL"), IDLE)
    await is_idle(house)


async def test_server_of_a_client_that_leaves_after_load_is_closed(house: House):
    client, server = await house.pair()
    await asks(client, server, "LOAD 'x'", complete("LOAD"), IDLE)
    await server.answers_audit()
    await house.until(lambda: bool(house.inside(client).state.pins))
    client.send(TERMINATE)
    await server.receives(TERMINATE)
    await server.hears_the_end()


async def test_server_of_a_client_that_leaves_while_it_is_asked_about_load_is_closed(house: House):
    client, server = await house.pair()
    await asks(client, server, "LOAD 'x'", complete("LOAD"), IDLE)
    await server.audited()
    client.cut()
    await server.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)


# --- pins ---------------------------------------------------------------------------------------------------


async def test_server_is_kept_as_long_as_it_says_that_there_is_something_and_no_longer(house: House):
    client, server = await house.pair()
    other = await house.client()
    await asks(client, server, LOCK, rows(""), IDLE)
    await server.answers_audit(locks=True)
    other.send(query("SELECT 2"))
    await asks(client, server, "SELECT 1", rows("1"), IDLE)
    await server.hears_nothing()
    assert list(house.inside(client).state.pins) == ["lock"]
    await asks(client, server, "SELECT pg_advisory_unlock(1)", rows("t"), IDLE)
    await server.answers_audit()
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)
    assert not house.inside(client).state.pins


async def test_notification_on_a_pinned_server_is_left_to_the_hub(house: House):
    client, server = await house.pair()
    await asks(client, server, LOCK, rows(""), IDLE)
    await server.answers_audit(locks=True)
    await house.until(lambda: bool(house.inside(client).state.pins))
    server.send(notification("news", "told by the hub"))
    await server.hears_nothing()  # a Sync of ours would make the hub's wait for an answer that nobody sees
    await client.hears_nothing()


async def test_setting_that_a_function_reports_is_asked_for(house: House):
    client, server = await house.pair()
    tokyo = parameter_status("TimeZone", "Asia/Tokyo")
    await asks(client, server, "SELECT f()", columns("f"), row(""), complete(), tokyo, IDLE)
    await server.answers_audit(settings={"TimeZone": "Asia/Tokyo"})
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.receives(query('RESET "timezone"'), query("SELECT 1"))


async def test_setting_of_the_transaction_that_is_reported_is_not_asked_for(house: House):
    client, server = await house.pair()
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    tokyo, utc = parameter_status("TimeZone", "Asia/Tokyo"), parameter_status("TimeZone", "Etc/UTC")
    await asks(client, server, "SET LOCAL TimeZone = 'Asia/Tokyo'", complete("SET"), tokyo, INTRANS)
    await asks(client, server, "COMMIT", complete("COMMIT"), utc, IDLE)
    await is_idle(house)
    await server.hears_nothing()


# --- settings that cannot be replayed -----------------------------------------------------------------------


async def test_client_whose_settings_no_server_takes_is_told_why_and_the_server_closed(house: House):
    client, server = await house.pair()
    other = await house.client()
    await sets(client, server)
    other.send(query("SELECT 1"))
    await server.answers(complete("RESET"), IDLE, to=RESET)
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)
    client.send(query("SELECT 2"))
    await server.receives(REPLAYED, query("SELECT 2"))
    server.send(error("42501", 'permission denied to set parameter "work_mem"'), IDLE, rows("2"), IDLE)
    told = await client.fails("42501", "permission denied to set parameter")
    assert told.body.fields["S"] == "FATAL"
    await client.hears_the_end()
    await server.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)
    other.send(query("SELECT 3"))
    fresh = await house.server.accept()
    await fresh.answers(rows("3"), IDLE, to=query("SELECT 3"))
    await other.receives(rows("3"), IDLE)


# --- refused ------------------------------------------------------------------------------------------------

REFUSE = {"pool.size": 1, "pool.reserve_size": 0, "pool.refuse_pins": "lock"}
REFUSED = ("0A000", "refused in transaction pooling: session advisory locks")


async def test_refused_query_fails_on_the_server_and_its_client_is_told_why(enter):
    house = await enter(REFUSE)
    client, server = await house.pair()
    client.send(query(LOCK))
    await server.answers(SYNTAX_ERROR, IDLE, to=query(NO_SQL))
    told = await client.fails(*REFUSED)
    assert 'pin "lock"' in told.body.fields["D"]
    assert "pool.refuse_pins" in told.body.fields["H"]
    await client.receives(IDLE)
    await server.hears_nothing()  # nothing was left behind
    await asks(client, server, "SELECT 1", rows("1"), IDLE)


async def test_refused_query_fails_its_transaction(enter):
    house = await enter(REFUSE)
    client, server = await house.pair()
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    client.send(query(LOCK))
    await server.answers(SYNTAX_ERROR, INERROR, to=query(NO_SQL))
    await client.fails(*REFUSED)
    await client.receives(INERROR)
    await asks(client, server, "SELECT 1", FAILED, INERROR)
    await asks(client, server, "ROLLBACK", complete("ROLLBACK"), IDLE)
    await is_idle(house)


async def test_refused_query_between_others_is_answered_in_its_turn(enter):
    house = await enter(REFUSE)
    client, server = await house.pair()
    client.send(query("SELECT 1"), query(LOCK), query("SELECT 2"))
    await server.receives(query("SELECT 1"), query(NO_SQL), query("SELECT 2"))
    server.send(rows("1"), IDLE, SYNTAX_ERROR, IDLE, rows("2"), IDLE)
    await client.receives(rows("1"), IDLE)
    await client.fails(*REFUSED)
    await client.receives(IDLE, rows("2"), IDLE)


@pytest.mark.parametrize("name", ["", "s1"])
async def test_refused_parse_fails_its_request_up_to_the_sync(enter, name: str):
    house = await enter(REFUSE)
    client, server = await house.pair()
    client.send(parse(name, LOCK), bind(name), describe(name), execute(), SYNC)
    refused = await server.receive()
    assert (refused.kind, refused.body.query) == ("P", NO_SQL)
    await server.receive_until(SYNC)
    server.send(SYNTAX_ERROR, IDLE)
    await client.fails(*REFUSED)
    await client.receives(IDLE)
    await is_idle(house)
    await asks(client, server, "SELECT 1", rows("1"), IDLE)


async def test_refused_parse_fails_its_transaction(enter):
    house = await enter(REFUSE)
    client, server = await house.pair()
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    client.send(parse("", LOCK), SYNC)
    await server.receive_until(SYNC)
    server.send(SYNTAX_ERROR, INERROR)
    await client.fails(*REFUSED)
    await client.receives(INERROR)
    await asks(client, server, "ROLLBACK", complete("ROLLBACK"), IDLE)


async def test_refused_parse_leaves_what_the_name_meant(enter):
    """As a Parse that PostgreSQL refuses does."""
    house = await enter(REFUSE)
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), SYNC)
    ours = (await server.receive()).body.name
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(parse("s", LOCK), SYNC)
    await server.receive_until(SYNC)
    server.send(SYNTAX_ERROR, IDLE)
    await client.fails(*REFUSED)
    await client.receives(IDLE)
    client.send(bind("s"), execute(), SYNC)
    await server.receives(bind(ours), execute(), SYNC)


async def test_statement_that_pins_for_another_reason_is_not_refused(enter):
    house = await enter(REFUSE)
    client, server = await house.pair()
    await asks(client, server, "CREATE TEMP TABLE t ()", complete("CREATE TABLE"), IDLE)
    await server.answers_audit(temp=True)
    await asks(client, server, "SELECT 1", rows("1"), IDLE)
    assert list(house.inside(client).state.pins) == ["temp"]


# --- names that SQL uses too --------------------------------------------------------------------------------


async def test_execute_of_a_parsed_name_finds_it_on_any_server(house: House):
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), SYNC)
    await server.receive()
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(query("EXECUTE s"))
    await server.receives(parse("s", "SELECT 1"), SYNC, query("EXECUTE s"))
    server.send(PARSE_COMPLETE, IDLE, rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    await server.answers(complete("DEALLOCATE"), IDLE, to=query('DEALLOCATE "s"'))
    await is_idle(house)


async def test_prepared_statement_is_prepared_again_where_it_is_bound(house: House):
    client, server = await house.pair()
    other = await house.client()
    await prepare_by_sql(client, server)
    await asks(other, server, "SELECT 1", rows("1"), IDLE)
    client.send(bind("mine"), execute(), SYNC)
    sent = await server.receive_until(SYNC)
    assert [message.kind for message in sent] == list("CPBECCBES")
    assert sent[1].body.query == PREPARE
    ours = (
        CLOSE_COMPLETE,
        PARSE_COMPLETE,
        BIND_COMPLETE,
        complete("PREPARE"),
        CLOSE_COMPLETE,
        CLOSE_COMPLETE,
    )
    server.send(*ours, BIND_COMPLETE, row("42"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("42"), complete(), IDLE)


async def test_deallocated_name_is_unknown_to_the_protocol_too(house: House):
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), SYNC)
    await server.receive()
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(query("DEALLOCATE s"))
    await server.receives(parse("s", ""), SYNC, query("DEALLOCATE s"))
    server.send(PARSE_COMPLETE, IDLE, complete("DEALLOCATE"), IDLE)
    await client.receives(complete("DEALLOCATE"), IDLE)
    await server.answers_audit()
    await is_idle(house)
    client.send(bind("s"), SYNC)
    assert "none" in (await server.receive()).body.statement


async def test_message_about_a_name_waits_until_it_is_known_what_became_of_it(house: House):
    client, server = await house.pair()
    client.send(query("PREPARE mine AS SELECT 1"), parse("mine", "SELECT 2"), bind("mine"), execute(), SYNC)
    await server.receives(query("PREPARE mine AS SELECT 1"), FLUSH)
    server.send(error("42501", "no"), IDLE)
    await client.fails("42501", "no")
    await client.receives(IDLE)
    await server.answers_audit()  # so it is free
    ours = (await server.receive()).body.name
    await server.receives(bind(ours), execute(), SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, row("2"), complete(), IDLE)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("2"), complete(), IDLE)


async def test_message_about_a_name_waits_in_a_transaction_too(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"), query("DEALLOCATE mine"), parse("mine", "SELECT 2"), SYNC)
    await server.receives(query("BEGIN"), FLUSH)
    server.send(complete("BEGIN"), INTRANS)
    await client.receives(complete("BEGIN"), INTRANS)
    await server.receives(query("DEALLOCATE mine"), FLUSH)
    server.send(error("26000", "no"), INERROR)
    await client.fails("26000", "no")
    await client.receives(INERROR)
    await server.receives(parse("mine", "SELECT 2"), SYNC)


async def test_name_parsed_behind_deallocate_is_not_left_to_the_next(house: House):
    client, server = await house.pair()
    client.send(parse("", "DEALLOCATE ALL"), bind(), execute(), SYNC)
    await server.receive_until(SYNC)
    client.send(parse("mine", "SELECT 1"), SYNC)
    await server.receives(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("DEALLOCATE ALL"), IDLE)
    await server.answers_audit()
    ours = (await server.receive()).body.name
    assert ours != "mine"


async def test_close_of_a_prepared_name_that_was_discarded_leaves_it(house: House):
    client, server = await house.pair()
    await prepare_by_sql(client, server)
    client.send(parse("", "SELEC"), close("mine"), SYNC)
    await server.receives(parse("", "SELEC"), SYNC)
    server.send(SYNTAX_ERROR, IDLE)
    await client.fails("42601")
    await client.receives(IDLE)
    client.send(bind("mine"), execute(), SYNC)
    sent = await server.receive_until(SYNC)
    assert PREPARE in [message.body.query for message in sent if message.kind == "P"]


async def test_unnamed_statement_that_was_not_replaced_does_what_it_did(house: House):
    client, server = await house.pair()
    client.send(parse("", LOCK), SYNC)
    await server.answers(PARSE_COMPLETE, IDLE, to=parse("", LOCK) + SYNC)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(execute(), parse("", "SELECT 1"), SYNC)
    await server.answers(error("34000", "no portal"), IDLE, to=execute() + parse("", "SELECT 1") + SYNC)
    await client.fails("34000")
    await client.receives(IDLE)
    client.send(bind(), execute(), SYNC)
    await server.receive_until(SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, rows(""), IDLE)
    await server.answers_audit(locks=True)
    await house.until(lambda: list(house.inside(client).state.pins) == ["lock"])


async def test_equal_text_is_read_as_its_session_reads_it_now(house: House):
    client, server = await house.pair()
    client.send(parse("", r"SELECT '\'; SELECT pg_advisory_lock(1) --'"), SYNC)
    await server.receive_until(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    state = house.inside(client).state
    assert house.inside(client).prepared.unnamed.shape.effects.effects & LOCKS
    client.send(parse("off", "SET standard_conforming_strings = off"), bind("off"), execute(), SYNC)
    await server.receive_until(SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("SET"), IDLE)
    await server.answers_audit(settings={"standard_conforming_strings": "off"})
    await house.until(lambda: state.backslashes)
    assert house.inside(client).prepared.unnamed.shape.effects.effects == UNKNOWN


async def test_question_that_was_cancelled_is_not_asked_again_where_it_would_be_ignored(house: House):
    client, server = await house.pair()
    await asks(client, server, SET, complete("SET"), IDLE)
    await server.audited()
    client.send(bind("unknown"), FLUSH)
    assert "none" in (await server.receive()).body.statement
    await server.receives(FLUSH)
    server.send(CANCELLED, IDLE, error("26000", "no"))
    await client.fails("26000")
    client.send(SYNC)
    await server.receives(SYNC)
    server.send(IDLE)
    await client.receives(IDLE)
    await server.answers_audit(settings={"work_mem": "9MB"})
    await is_idle(house)
    assert dict(house.inside(client).settings.values) == {"work_mem": "9MB"}


async def test_what_goes_ahead_of_a_query_does_not_end_what_waits_for_a_sync(house: House):
    client, server = await house.pair()
    await prepare_by_sql(client, server)
    client.send(parse("", "INSERT INTO t VALUES (1)"), bind(), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    await asks(client, server, "SELECT 1", rows("1"), INTRANS)
    client.send(query("EXECUTE mine"))
    sent = await server.receive_until(query("EXECUTE mine"))
    assert [message.kind for message in sent] == list("CPBECCQ")


async def test_what_goes_ahead_of_a_query_begins_no_transaction_where_an_earlier_one_has_ended_it(
    house: House,
):
    other, server = await house.pair()
    await asks(other, server, "INSERT INTO t VALUES (1)", complete("INSERT 0 1"), IDLE)
    client = await house.client()
    client.send(parse("", "SELECT 1"), bind(), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("SELECT 1"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("SELECT 1"))
    client.send(query("SELECT none"), query("SELECT lastval()"))
    failed = error("42703", "no such column")
    await server.answers(failed, IDLE, to=query("SELECT none") + FLUSH)
    await client.receives(failed, IDLE)
    await server.answers(complete("DISCARD SEQUENCES"), IDLE, to=query("DISCARD SEQUENCES"))
    await server.answers(rows("1"), IDLE, to=query("SELECT lastval()"))
    await client.receives(rows("1"), IDLE)


@pytest.mark.parametrize("given", [True, False], ids=["given", "perhaps unreadable now"])
async def test_names_are_given_to_what_may_execute_them_if_they_can_be_read(house: House, given: bool):
    client, server = await house.pair()
    await prepare_by_sql(client, server)
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    if not given:
        await asks(client, server, "SET search_path = elsewhere", complete("SET"), INTRANS)
    client.send(query("DEALLOCATE"))
    sent = await server.receive_until(query("DEALLOCATE"))
    assert (PREPARE in [message.body.query for message in sent if message.kind == "P"]) == given


async def test_names_are_given_behind_a_deallocate_all_that_a_failed_transaction_has_refused(house: House):
    client, server = await house.pair()
    await prepare_by_sql(client, server)
    await asks(client, server, "BEGIN", complete("BEGIN"), INTRANS)
    await asks(client, server, "SELECT 1/0", error("22012", "division by zero"), INERROR)
    await asks(client, server, "DEALLOCATE ALL", FAILED, INERROR)
    await asks(client, server, "ROLLBACK AND CHAIN", complete("ROLLBACK"), INTRANS)
    client.send(parse("", "TABLE pg_prepared_statements"), bind(), execute(), SYNC)
    sent = await server.receive_until(SYNC)
    assert PREPARE in [message.body.query for message in sent if message.kind == "P"]
