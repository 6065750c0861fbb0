from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dbproxy.demo.claims import Figures, Replica, judge, judge_end
from dbproxy.demo.scrape import Scrape
from dbproxy.demo.workload import CLIENTS, Outcome

REPLICAS = (Replica("replica1", "streaming", 0, 7), Replica("replica2", "streaming", 0, 7))

READS = "".join(
    f'dbproxy_route_decisions_total{{host="{name}",reason="read"}} 3\n' for name in ("replica1", "replica2")
)


def make_outcome(**changes) -> Outcome:
    outcome = Outcome(seconds=1.0, servers=10, answered=set(range(CLIENTS)))
    outcome.latencies["slow"] = [0.6, 0.7]
    return replace(outcome, **changes)


def make_figures(**changes) -> Figures:
    figures = Figures(
        outcome=make_outcome(),
        scrape=Scrape(f'dbproxy_clients{{state="active"}} 150\ndbproxy_clients{{state="idle"}} 50\n{READS}'),
        slow_logged=2,
        slow_left_out=0,
        replicas=REPLICAS,
        rows=7,
        balance=100_000,
        greeting="1",
        health="ok",
    )
    return replace(figures, **changes)


def failed(figures: Figures) -> list[str]:
    return [claim.sentence for claim in judge(figures) if not claim.holds]


def test_good_figures_hold_every_claim():
    assert failed(make_figures()) == []


def test_slow_query_that_the_log_only_counts_is_none_that_is_missing():
    assert failed(make_figures(slow_logged=1, slow_left_out=30)) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"outcome": make_outcome(answered=set(range(CLIENTS - 1)))}, "each was served"),
        ({"scrape": Scrape(f'dbproxy_clients{{state="active"}} 199\n{READS}')}, "connected at once"),
        (
            {"scrape": Scrape(f'dbproxy_clients{{state="active"}} 200\n{READS.replace(" 3", " 0", 1)}')},
            "every replica answered reads",
        ),
        ({"outcome": make_outcome(servers=11)}, "10 server connections were enough"),
        ({"outcome": make_outcome(servers=0)}, "10 server connections were enough"),
        ({"outcome": make_outcome(errors=Counter({"read: lost": 1}))}, "no client saw an error"),
        ({"balance": 99_999}, "no transaction was half done"),
        ({"slow_logged": 1}, "every slow query was logged"),
        ({"slow_logged": 0, "outcome": make_outcome(latencies={"slow": []})}, "every slow query was logged"),
        ({"replicas": ()}, "replicas stream"),
        ({"replicas": REPLICAS[:1]}, "replicas stream"),
        ({"replicas": (REPLICAS[0], replace(REPLICAS[1], state="catchup"))}, "replicas stream"),
        ({"replicas": (REPLICAS[0], replace(REPLICAS[1], rows=6))}, "have all that was written"),
        ({"greeting": ""}, "psql gets an answer"),
        ({"health": "failing"}, "metrics and health answer"),
    ],
)
def test_bad_figure_fails_its_own_claim_alone(changes: dict, sentence: str):
    (only,) = failed(make_figures(**changes))
    assert sentence in only


def test_end_is_good_when_nothing_is_left():
    assert all(claim.holds for claim in judge_end(0, [], []))


@pytest.mark.parametrize("end", [(1, [], []), (None, [], []), (0, [4711], []), (0, [], [Path("/left")])])
def test_bad_end_fails_its_own_claim_alone(end: tuple):
    assert [claim.holds for claim in judge_end(*end)].count(False) == 1
