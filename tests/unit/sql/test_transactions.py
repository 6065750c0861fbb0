"""What statements are to a transaction that only reads."""

import pytest

from dbproxy.sql.parser import classify, find_first_end


def flags(text: str) -> set[str]:
    found = classify(text.encode())
    return {name for name in ("ends", "chains", "repeats", "needs_primary") if getattr(found, name)}


@pytest.mark.parametrize(
    "text", ["COMMIT", "END", "ROLLBACK", "ABORT", "SELECT 1; COMMIT", "COMMIT; SELECT 1", "ROLLBACK; SHOW a"]
)
def test_what_ends_a_transaction(text: str) -> None:
    assert flags(text) == {"ends"}


@pytest.mark.parametrize("text", ["no SQL", "SELECT 1; COMMIT; no SQL"])
def test_what_cannot_be_read_may_end_it(text: str) -> None:
    assert "ends" in flags(text)


@pytest.mark.parametrize("text", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_what_ends_one_and_begins_another(text: str) -> None:
    assert flags(text) == {"chains", "repeats"}


def test_each_that_ends_one_and_begins_another_counts() -> None:
    assert classify(b"SELECT 1; COMMIT AND CHAIN; ROLLBACK AND CHAIN").chains == 2


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
        "SET work_mem = '5MB'",
        "SET LOCAL a.b = 1",
        "RESET a.b",
        "SET TRANSACTION READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET LOCAL transaction_read_only = 'yes'",
        "SHOW transaction_read_only",
        "SELECT 1",
        "SELECT 1, 'a'::text",
        "SELECT set_config('a.b', 'x', true)",
        "SELECT set_config('transaction_read_only', 'on', true)",
    ],
)
def test_what_can_be_carried_out_again(text: str) -> None:
    assert flags(text) == {"repeats"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM t",
        "SELECT now()",
        "SELECT current_timestamp",
        "SELECT (SELECT a FROM t)",
        "SELECT set_config('a.b', $1, true)",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "SELECT f()",
        "SELECT other.pg_is_in_recovery()",
        "DO $$ BEGIN PERFORM 1; END $$",
        "BEGIN READ ONLY; SELECT 1",
    ],
)
def test_what_stays_and_is_not_carried_out_again(text: str) -> None:
    assert flags(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "SET TRANSACTION READ WRITE",
        "SET TRANSACTION READ ONLY, READ WRITE",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
        "SET transaction_read_only = off",
        "SET transaction_read_only = 0",
        "SET LOCAL transaction_read_only TO 'no'",
        "SET transaction_isolation = 'Serializable'",
        "SET transaction_isolation TO DEFAULT",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('Transaction_Read_Only', $1, true)",
        "LOCK TABLE t IN ACCESS SHARE MODE",
        "SELECT txid_current()",
        "SELECT pg_catalog.pg_current_xact_id()",
        "SELECT pg_export_snapshot()",
        "SELECT pg_is_in_recovery()",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT count(*) FROM pg_locks",
        "PREPARE p AS SELECT pg_is_in_recovery()",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "LISTEN a",
        "UNLISTEN *",
        "NOTIFY a",
        "SELECT pg_notify('a', '')",
        "PREPARE TRANSACTION 'a'",
        "COMMIT; INSERT INTO t VALUES (1)",
        "ROLLBACK; BEGIN READ ONLY",
        "SELECT 1; COMMIT; BEGIN",
        "COMMIT; SET a.b = 1",
    ],
)
def test_what_a_standby_does_not_do_as_the_primary_would(text: str) -> None:
    assert "needs_primary" in flags(text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("COMMIT", "COMMIT"),
        ("/* a */ END; INSERT INTO t VALUES (1)", "COMMIT"),
        ("ABORT; SELECT 1", "ROLLBACK"),
        ("COMMIT AND CHAIN", ""),
        ("ROLLBACK TO a", ""),
        ("PREPARE TRANSACTION 'a'", "COMMIT"),
        ("SELECT 1; COMMIT", ""),
        ("no SQL", ""),
        ("", ""),
    ],
)
def test_the_end_that_a_text_begins_with(text: str, end: str) -> None:
    assert find_first_end(text.encode()) == end
