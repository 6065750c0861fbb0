"""What a login costs: `pgbench -C` (each query by a connection of its own), PgBouncer and dbproxy in turns.

By trust, by SCRAM-SHA-256 with passwords from the same file, and by trust with TLS between client and pooler (the same
certificate; a handshake for each login, as libpq resumes no session). CPU time of the pooler for each login with its
query.
"""

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.encryption import LIBPQ, in_our_words, issue
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import (
    PGBOUNCER,
    Target,
    environment_for,
    pgbouncer,
    pgbouncer_version,
    proxy,
)
from dbproxy.demo.installation import Installation, account, embedded, installations
from dbproxy.demo.postgres import Postgres, create_primary

POOL = 20


@dataclass(frozen=True)
class Way:
    """How clients log in; `more`: the proxy's settings for it, by their names in the environment."""

    name: str
    method: str = "trust"
    tls: bool = False
    more: Mapping[str, str] = field(default_factory=dict)


WAYS = (
    Way("trust"),
    Way("trust, altered settings not looked for", more={"DBPROXY_POOL__FOLLOW_DEFAULTS": "false"}),
    Way("scram-sha-256", method="scram-sha-256"),
    Way("trust, TLS", tls=True),
)


def write_users(primary: Postgres) -> Path:
    path = primary.socket_dir / "users.txt"
    path.write_text(f'"{primary.superuser}" "{primary.password}"\n')
    path.chmod(0o600)
    account().own(path)
    return path


def start(stack: ExitStack, primary: Postgres, way: Way) -> list[Target]:
    poolers = []
    encrypted = issue(primary).for_clients() if way.tls else {}
    if PGBOUNCER:
        settings = {"auth_type": way.method, "auth_file": write_users(primary), **encrypted}
        poolers.append(stack.enter_context(pgbouncer(primary, POOL, more=settings)))
    auth = {"DBPROXY_AUTH__TYPE": way.method, "DBPROXY_AUTH__FILE": str(write_users(primary))}
    more = {**auth, **in_our_words(encrypted), **way.more}
    return [*poolers, stack.enter_context(proxy(primary, POOL, more))]


def find_client(way: Way) -> Installation | None:
    """Whose pgbench can log in so: the embedded one has no TLS."""
    able = [found for found in installations() if not way.tls or found.name != "embedded"]
    return able[0] if able else None


def measure(
    primary: Postgres, target: Target, way: Way, client: Installation, arguments: argparse.Namespace
) -> float:
    """Microseconds of CPU for each login."""
    each: int = arguments.logins // arguments.clients
    environment = environment_for(primary, target.port) | (LIBPQ if way.tls else {})
    before = target.cpu_seconds()
    options = ["-n", "-S", "-C", "-c", str(arguments.clients), "-t", str(each)]
    client.run("pgbench", *options, environment=environment)
    cpu_us: float = (target.cpu_seconds() - before) / (each * arguments.clients) * 1e6
    return cpu_us


def run(primary: Postgres, way: Way, arguments: argparse.Namespace) -> str:
    """A row of the table."""
    client = find_client(way)
    if client is None:
        return f"| {way.name} | no pgbench here has TLS | | |\n"
    figures: dict[str, list[float]] = {"PgBouncer": [], "dbproxy": []}
    with ExitStack() as stack:
        targets = start(stack, primary, way)
        for number in range(arguments.rounds + 1):
            for target in targets:
                cpu_us = measure(primary, target, way, client, arguments)
                if number:  # the first opens the servers
                    figures[target.name].append(cpu_us)
    theirs, ours = (median(some) if some else float("nan") for some in figures.values())
    return f"| {way.name} | {theirs:.0f} | {ours:.0f} | {ours / theirs:.1f} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logins", description=__doc__)
    parser.add_argument("--logins", type=int, default=3000, help="of one run of pgbench")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    installation = embedded()
    with create_primary(
        installation=installation, auth="trust", settings={"max_connections": 100}
    ) as primary:
        installation.run("pgbench", "-i", "-q", "-s", "1", environment=primary.environment())
        rows = [run(primary, way, arguments) for way in WAYS]
    facts = {
        "PgBouncer": ".".join(map(str, pgbouncer_version())) or "none",
        "load": f"pgbench -S -C, {arguments.clients} clients, pool of {POOL}, TCP on loopback; medians",
    }
    head = "| login by | PgBouncer CPU µs | dbproxy CPU µs | dbproxy/PgBouncer |\n|---|---:|---:|---:|\n"
    text = f"{describe_machine(facts)}\n{head}{''.join(rows)}"
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
