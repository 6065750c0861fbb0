"""Which texts cannot clean a server."""

import pytest

from dbproxy.config import load
from dbproxy.config.reset import check_query, check_reset
from dbproxy.errors import ConfigurationError


@pytest.mark.parametrize(
    "query",
    [
        "",
        ";",
        "DISCARD ALL",
        "DISCARD ALL;",
        " discard /* all of it; */ all ; -- and; nothing; else",
        "RESET ALL; SET search_path = 'a;b'; UNLISTEN *",
        "SET x = 'DISCARD ALL; SET y'; RESET ALL",
        'SET x = "DISCARD ALL"; RESET ALL',
        "DO $a$ BEGIN; DISCARD ALL; END $a$; RESET ALL",
        "BEGIN; RESET ALL; COMMIT",
        "CLOSE ALL; DISCARD PLANS; DISCARD TEMP",
    ],
)
def test_text_that_can_work_is_taken(query: str):
    assert check_reset(query) == query


@pytest.mark.parametrize(
    "query",
    [
        "DISCARD ALL; SET x = 1",
        "SET x = 1; DISCARD ALL",
        "discard\n all;/**/reset all",
        "BEGIN; DISCARD ALL; COMMIT",
        "VACUUM; RESET ALL",
        "RESET ALL; REINDEX INDEX CONCURRENTLY i",
    ],
)
def test_what_cannot_run_in_a_transaction_must_be_alone(query: str):
    with pytest.raises(ValueError, match="must be the only statement"):
        check_reset(query)


def test_a_transaction_must_not_stay_open():
    with pytest.raises(ValueError, match="transaction open"):
        check_reset("BEGIN; RESET ALL")


def test_the_mistake_is_told_with_its_key_and_line(tmp_path):
    path = tmp_path / "dbproxy.toml"
    path.write_text('[pool]\nmode = "session"\nserver_reset_query = "DISCARD ALL; SET x = 1"\n')
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    assert raised.value.message.startswith(f"{path}:3: pool.server_reset_query = ")
    assert "DISCARD ALL must be the only statement" in raised.value.message


def test_check_query_is_sql_or_pgbouncers_word_for_none():
    assert [check_query(text) for text in ("<empty>", "", "SELECT 1")] == ["<empty>", "", "SELECT 1"]
    with pytest.raises(ValueError, match="transaction"):
        check_query("BEGIN")
