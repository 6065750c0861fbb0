"""Which of several hosts a connection goes to, as libpq's documentation has it."""

import pytest

from dbproxy.errors import LoginRefused, ServerRefused, ServerUnavailable
from dbproxy.pool.choice import SHUNNED, Standing, combine, is_final, judge, list_wishes, tells

PRIMARY = {"in_hot_standby": "off", "default_transaction_read_only": "off"}
READ_ONLY = {"in_hot_standby": "off", "default_transaction_read_only": "on"}
STANDBY = {"in_hot_standby": "on", "default_transaction_read_only": "off"}


@pytest.mark.parametrize(
    ("attrs", "fitting"),
    [
        ("any", "prs"),
        ("read-write", "p"),
        ("read-only", "rs"),
        ("primary", "pr"),
        ("standby", "s"),
    ],
)
def test_it_is_judged_by_what_the_server_reports(attrs: str, fitting: str):
    found = {"p": PRIMARY, "r": READ_ONLY, "s": STANDBY}
    assert "".join(name for name, told in found.items() if not judge(attrs, told)) == fitting


def test_prefer_standby_takes_any_where_there_is_no_standby():
    assert list_wishes("prefer-standby") == ("standby", "any")
    assert list_wishes("read-write") == ("read-write",)


def test_older_servers_do_not_report_it():
    assert tells(STANDBY)
    assert not tells({"in_hot_standby": "on"})
    assert not tells({})


def test_host_that_failed_lately_is_tried_last_and_later_in_its_place_again():
    standing = Standing()
    standing.note("a", 100.0, failed=True)
    assert standing.order(["a", "b", "c"], 101.0, shuffles=False) == [1, 2, 0]
    standing.note("b", 102.0, failed=True)
    assert standing.order(["a", "b", "c"], 103.0, shuffles=False) == [2, 0, 1]
    assert standing.order(["a", "b"], 103.0, shuffles=True) == [0, 1]
    standing.note("b", 104.0, failed=False)
    assert standing.order(["a", "b", "c"], 100.0 + SHUNNED, shuffles=False) == [0, 1, 2]


def test_hosts_are_tried_in_any_order_where_load_is_balanced():
    orders = {tuple(Standing().order(["a", "b", "c"], 0.0, shuffles=True)) for _ in range(200)}
    assert len(orders) == 6


def test_refused_login_ends_the_search_and_what_passes_does_not():
    assert is_final(ServerRefused("wrong password", sqlstate="28P01"))
    assert not is_final(ServerRefused("starting up", sqlstate="57P03"))
    assert not is_final(ServerUnavailable("no answer"))


def test_every_reason_is_told_once():
    errors = [ServerUnavailable("a: no"), ServerUnavailable("b: no"), ServerUnavailable("a: no")]
    assert combine(errors).message == "a: no; b: no"


def test_login_is_refused_where_no_host_would_take_it():
    refused, down = LoginRefused("a: no secret"), ServerUnavailable("b: no answer")
    assert isinstance(combine([refused, refused]), LoginRefused)
    assert not isinstance(combine([refused, down]), LoginRefused)
