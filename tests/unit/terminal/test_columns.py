from dbproxy.observe.queries import COLUMNS as QUERIES_COLUMNS
from dbproxy.terminal.columns import (
    CRITICAL,
    QUERIES,
    QUIET,
    WARNING,
    show_holder_state,
    show_lag,
    show_state,
    show_use,
)
from tests.unit.terminal.rows import HOLDER, HOST


def test_lag_is_told_by_colour_as_the_alerts_have_it():
    lags = [show_lag({**HOST, "role": "replica", "lag_seconds": seconds}) for seconds in (1.0, 6.0, 31.0)]
    assert [lag.style for lag in lags] == ["", WARNING, CRITICAL]
    assert show_lag({**HOST, "role": "replica", "lag_seconds": None}).plain == ""


def test_pool_is_told_by_colour_as_it_fills():
    uses = [show_use({"sv_active": used, "pool_size": 100}) for used in (80, 81, 96)]
    assert [(use.plain, use.style) for use in uses] == [
        ("80/100", ""),
        ("81/100", WARNING),
        ("96/100", CRITICAL),
    ]
    assert show_use({"sv_active": 3, "pool_size": None}).plain == "3"


def test_long_idle_transaction_and_stalled_client_stand_out():
    assert show_holder_state(HOLDER).style == WARNING
    assert show_holder_state({**HOLDER, "state_seconds": 1.0}).style == ""
    assert show_holder_state({**HOLDER, "state": "stalled", "state_seconds": 0.1}).style == WARNING
    assert show_holder_state({**HOLDER, "state": "active"}).style == ""


def test_host_that_nobody_asks_about_is_not_alarming():
    assert [show_state({"state": state}).style for state in ("up", "unknown", "down")] == [
        "green",
        QUIET,
        CRITICAL,
    ]


def test_every_column_of_queries_is_one_that_the_console_tells():
    told = dict.fromkeys(QUERIES_COLUMNS, 1)
    assert all(column.show(told).plain for column in QUERIES)
