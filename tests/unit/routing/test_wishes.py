"""What `SET dbproxy.…` means, and what it cannot mean."""

import pytest

from dbproxy.pool.commits import UNKNOWN
from dbproxy.routing.wishes import Wishes, complain


def wishes(**values: str) -> Wishes:
    return Wishes({f"dbproxy.{name}": value for name, value in values.items()}, "session")


def test_without_settings_the_configuration_decides():
    assert (wishes().consistency, wishes().route, wishes().token) == ("session", "", 0)


def test_what_reset_leaves_is_no_wish():
    assert (wishes(consistency="").consistency, wishes(causal_token="").token) == ("session", 0)


@pytest.mark.parametrize(
    ("asked", "route"),
    [
        ("primary", "primary"),
        ("Replica", "replica"),
        ("replica( reports )", "replica(reports)"),
    ],
)
def test_route_is_spelled_as_a_hint(asked: str, route: str):
    assert wishes(route=asked).route == route


def test_consistency_is_asked_for_in_any_case():
    assert wishes(consistency="EVENTUAL").consistency == "eventual"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("consistency", "strong"),
        ("route", "standby"),
        ("route", "replica */ DROP"),
        ("causal_token", "0/16B3748 "),
        ("causal_token", "-1/0"),
        ("causal_token", "FFFFFFFF/FFFFFFFF"),
        ("causal_token", "16B3748"),
    ],
)
def test_what_is_no_wish_is_complained_of_and_counts_as_the_strictest(name: str, value: str):
    values = {f"dbproxy.{name}": value}
    assert [of for of, _ in complain(values)] == [f"dbproxy.{name}"]
    found = Wishes(values, "eventual")
    strictest = {
        "consistency": found.consistency == "global",
        "route": found.route == "primary",
        "causal_token": found.token == UNKNOWN,
    }
    assert strictest[name]


def test_a_token_is_a_position():
    assert wishes(causal_token="1/16B3748").token == (1 << 32) + 0x16B3748


def test_names_of_others_are_nobodys_business():
    assert not complain({"dbproxy.listening": "x", "app.consistency": "strong", "dbproxy.consistency": ""})


@pytest.mark.parametrize(("value", "good"), [("on", True), ("OFF", True), ("", True), ("maybe", False)])
def test_session_says_whether_it_takes_kept_answers(value: str, good: bool):
    assert [name for name, _ in complain({"dbproxy.cache": value})] == ([] if good else ["dbproxy.cache"])
