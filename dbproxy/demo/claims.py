"""What the demo claims, and whether it is so: judged from figures alone."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dbproxy.demo.proxy import POOL_SIZE
from dbproxy.demo.scrape import Scrape
from dbproxy.demo.stage import ACCOUNTS, BALANCE, REPLICAS
from dbproxy.demo.workload import CLIENTS, Outcome


@dataclass(frozen=True)
class Replica:
    """What the primary says of a replica, and how many rows of the workload the replica itself has."""

    name: str
    state: str
    behind: int  # bytes of WAL
    rows: int


@dataclass(frozen=True)
class Figures:
    """All that was measured; `rows` of the workload are on the primary, `balance` is its accounts' sum."""

    outcome: Outcome
    scrape: Scrape
    slow_logged: int
    slow_left_out: int  # of all queries: the log tells how many it does not show
    replicas: tuple[Replica, ...]
    rows: int
    balance: int
    greeting: str  # what psql got through the proxy
    health: str


@dataclass(frozen=True)
class Claim:
    """One sentence, whether it holds, and what was seen."""

    sentence: str
    holds: bool
    seen: str


def judge(figures: Figures) -> list[Claim]:
    """What can be judged while all of it runs."""
    outcome, clients = figures.outcome, figures.scrape.total("dbproxy_clients")
    slow = len(outcome.latencies["slow"])
    return [
        Claim(
            f"{CLIENTS} clients were connected at once, and each was served",
            clients == len(outcome.answered) == CLIENTS,
            f"{clients} connected, {len(outcome.answered)} answered",
        ),
        Claim(
            f"{POOL_SIZE} server connections were enough",
            0 < outcome.servers <= POOL_SIZE,
            f"PostgreSQL saw at most {outcome.servers}",
        ),
        Claim("no client saw an error", not outcome.errors, f"{outcome.errors.total()} errors"),
        Claim(
            "no transaction was half done",
            figures.balance == ACCOUNTS * BALANCE,
            f"the accounts hold {figures.balance} of {ACCOUNTS * BALANCE}",
        ),
        Claim(
            "every slow query was logged, or counted where there were too many",
            0 < figures.slow_logged <= slow <= figures.slow_logged + figures.slow_left_out,
            f"{figures.slow_logged} of {slow}",
        ),
        judge_replicas(figures),
        judge_reads(figures),
        Claim("psql gets an answer from the proxy", figures.greeting == "1", f"SELECT 1: {figures.greeting}"),
        Claim("metrics and health answer", figures.health == "ok", f"/health/ready: {figures.health}"),
    ]


def judge_replicas(figures: Figures) -> Claim:
    states = ", ".join(f"{replica.name} {replica.state}" for replica in figures.replicas) or "no replica"
    fresh = all(replica.state == "streaming" and replica.rows == figures.rows for replica in figures.replicas)
    return Claim(
        f"{len(REPLICAS)} replicas stream, and have all that was written",
        fresh and len(figures.replicas) == len(REPLICAS),
        states,
    )


def count_reads(scrape: Scrape) -> dict[str, int]:
    """How often each replica was sent what a client asked for."""
    reads = dict.fromkeys(REPLICAS, 0)
    for labels, value in scrape.samples("dbproxy_route_decisions_total"):
        if labels["host"] in reads:
            reads[labels["host"]] += int(value)
    return reads


def judge_reads(figures: Figures) -> Claim:
    reads = count_reads(figures.scrape)
    seen = ", ".join(f"{name} {number:,}" for name, number in reads.items())
    return Claim("every replica answered reads", all(reads.values()), seen)


def judge_end(exit_code: int | None, alive: Collection[int], left: Collection[Path]) -> list[Claim]:
    """What can be judged once all of it has ended."""
    return [
        Claim("the proxy stopped by itself when told to", exit_code == 0, f"exit code {exit_code}"),
        Claim("no process is left", not alive, f"{len(alive)} left"),
        Claim("no folder is left", not left, f"{len(left)} left"),
    ]
