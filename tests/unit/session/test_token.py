"""Which position the causal token is given, decided without a server."""

from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.pool.parameters import NOTHING
from dbproxy.routing.reader import Reader
from dbproxy.routing.wishes import Wishes
from dbproxy.session.token import find_position


def make_client(token: str = "", *, asks: bool = True, **facts: Any) -> Any:
    """One whose last commit is at 100."""
    commits = Commits()
    if asks:
        commits.want(10.0)
    wishes = Wishes({"dbproxy.causal_token": token}, "session")
    router = SimpleNamespace(
        commits=commits, wishes_of=lambda settings: wishes, cluster=SimpleNamespace(positions=True)
    )
    usual = {
        "position": 100,
        "epoch": 0,
        "wrote_at": 20.0,
        "host": None,
        "settings": NOTHING,
        "router": router,
        "pool": SimpleNamespace(tenant=SimpleNamespace(tells_positions=True)),
    }
    found = usual | facts
    reader = Reader()
    for name in ("position", "epoch", "wrote_at"):
        setattr(reader, name, found.pop(name))
    route = SimpleNamespace(
        reader=reader,
        judge=SimpleNamespace(router=found.pop("router")),
        host=found.pop("host"),
    )
    series = SimpleNamespace(executes=facts.get("executes", False))
    return SimpleNamespace(**found, route=route, translator=SimpleNamespace(series=series))


def make_server(served: int = 0, status: str = "I", ours: bool = True) -> Any:
    dialogue = SimpleNamespace(status=ord(status), only_ours=lambda: ours)
    return SimpleNamespace(loan=SimpleNamespace(served=served), dialogue=dialogue)


def test_token_is_the_last_commit_where_that_is_known():
    assert find_position(make_client(), make_server()) == (100, True)


def test_token_is_not_behind_the_one_that_was_given():
    assert find_position(make_client("0/FF"), make_server()) == (255, True)
    assert find_position(make_client("0/1"), make_server()) == (100, True)


def test_token_that_is_none_is_passed_on_as_the_strictest():
    assert find_position(make_client("nonsense"), make_server()) == (UNKNOWN, True)


@pytest.mark.parametrize(
    ("facts", "position"), [({}, UNKNOWN), ({"wrote_at": 0.0}, 0)], ids=["wrote", "did not"]
)
def test_where_no_positions_are_told_the_token_of_who_wrote_leads_to_the_primary(facts: Any, position: int):
    client = make_client(**facts)
    client.route.judge.router.cluster.positions = False
    assert find_position(client, make_server()) == (position, True)
    client.route.judge.router.cluster.positions, client.pool.tenant.tells_positions = True, False
    assert find_position(client, make_server()) == (position, True)


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (make_client(asks=False), make_server()),
        (make_client(wrote_at=5.0), make_server()),
        (make_client(executes=True), make_server()),
        (make_client(), make_server(served=1)),
        (make_client(), make_server(status="T")),
        (make_client(), make_server(ours=False)),
    ],
    ids=["not asked for", "written before it was", "executed", "answered", "in a transaction", "under way"],
)
def test_commits_that_may_be_later_are_left_to_the_server(client: Any, server: Any):
    assert find_position(client, server) == (100, False)


def test_a_replicas_session_has_committed_nothing_since():
    assert find_position(make_client(host=object()), make_server(served=3, status="T")) == (100, True)


def test_what_was_cut_off_by_a_promotion_is_not_asked_for():
    client = make_client()
    client.route.judge.router.commits.reset(70)
    assert find_position(client, make_server()) == (70, True)


def test_without_a_choice_of_hosts_the_server_knows():
    assert find_position(make_client(router=None), make_server()) == (0, False)
