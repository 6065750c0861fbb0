"""What a collector of spans that fails costs: `python -m benchmarks.collector`.

For each fault two proxies, one of which traces: `pgbench -S` runs against them by turns while the fault lasts. Told
are the times of queries, the memory of the one that traces, what became of its spans, how soon it exports again once
the collector works, and how long a SIGTERM takes under the fault.
"""

import argparse
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.monitoring import OFF, POOL, seeing
from benchmarks.pgbench import Load, run_pgbench
from benchmarks.receiver import FAULTS, Receiver
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.demo.installation import embedded
from dbproxy.demo.postgres import HOST, Postgres, create_primary
from dbproxy.demo.scrape import Scrape, fetch

PATIENCE = 60.0
SLICES = 6
HEAD = ["collector", "p50 ms, not traced", "p50 ms, traced", "p99 ms, not traced", "p99 ms, traced", "memory MiB",
        "exported", "dropped", "failed", "exports again after", "SIGTERM"]  # fmt: skip
MIB = 1024 * 1024


@dataclass
class Outcome:
    """Of one fault. Times are medians over the slices, `[not traced, traced]`."""

    p50_ms: list[list[float]] = field(default_factory=lambda: [[], []])
    p99_ms: list[list[float]] = field(default_factory=lambda: [[], []])
    memory: list[int] = field(default_factory=list)  # bytes: ahead of each slice, and behind the last
    spans: Counter[str] = field(default_factory=Counter)
    recovery: float = 0.0
    stop: float = 0.0


class Tracing:
    """The proxy that traces."""

    def __init__(self, target: Target, port: int) -> None:
        self.target = target
        self.port = port

    def memory(self) -> int:
        assert self.target.process is not None
        return int(self.target.process.memory_info().rss)

    def spans(self) -> Counter[str]:
        """So far, by what became of them."""
        scrape = Scrape(fetch((HOST, self.port), "/metrics"))
        return Counter({labels["outcome"]: int(n) for labels, n in scrape.samples("dbproxy_spans_total")})

    def stop(self) -> float:
        """SIGTERM; the seconds until it has ended."""
        assert self.target.process is not None
        began = time.monotonic()
        self.target.process.terminate()
        self.target.process.wait(PATIENCE)
        return time.monotonic() - began


def run_fault(primary: Postgres, fault: str, load: Load) -> Outcome:
    outcome = Outcome()
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        settings = seeing(receiver)
        plain = stack.enter_context(proxy(primary, POOL, OFF))
        tracing = Tracing(
            stack.enter_context(proxy(primary, POOL, settings)), int(settings["DBPROXY_HTTP__PORT"])
        )
        for target in (plain, tracing.target):
            run_pgbench(
                primary.installation, environment_for(primary, target.port), Load(load.mode, load.clients, 5)
            )
        receiver.fail(fault)
        before = tracing.spans()
        for number in range(SLICES):
            print(f"{fault or 'none'}: {number + 1} of {SLICES}", file=sys.stderr, flush=True)
            outcome.memory.append(tracing.memory())
            turns = [plain, tracing.target] if number % 2 else [tracing.target, plain]
            for target in turns:
                run = run_pgbench(primary.installation, environment_for(primary, target.port), load)
                outcome.p50_ms[target is not plain].append(run.percentile_ms(0.5))
                outcome.p99_ms[target is not plain].append(run.percentile_ms(0.99))
        outcome.memory.append(tracing.memory())
        outcome.spans = tracing.spans() - before
        outcome.recovery = recover(primary, receiver, tracing)
        receiver.fail(fault)
        run_pgbench(primary.installation, environment_for(primary, tracing.target.port), Load("simple", 4, 2))
        outcome.stop = tracing.stop()
        receiver.fail("")
    return outcome


def recover(primary: Postgres, receiver: Receiver, tracing: Tracing) -> float:
    """The collector works again; the seconds until it has got something."""
    had, began = receiver.requests, time.monotonic()
    receiver.fail("")
    while receiver.requests == had:
        run_pgbench(primary.installation, environment_for(primary, tracing.target.port), Load("simple", 1, 1))
        if time.monotonic() - began > PATIENCE:
            return float("inf")
    return time.monotonic() - began


def build_row(fault: str, outcome: Outcome) -> list[str]:
    dropped = sum(number for name, number in outcome.spans.items() if name.startswith("dropped"))
    times = [f"{median(values):.2f}" for values in (*outcome.p50_ms, *outcome.p99_ms)]
    memory = f"{outcome.memory[0] / MIB:.1f} to {max(outcome.memory) / MIB:.1f}"
    spans = [f"{number:,}" for number in (outcome.spans["exported"], dropped, outcome.spans["failed"])]
    return [fault or "works", *times, memory, *spans, f"{outcome.recovery:.1f} s", f"{outcome.stop:.1f} s"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="under each fault, for each of the two")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=["works", *FAULTS], default=["works", *FAULTS])
    arguments = parser.parse_args()
    load = Load("simple", arguments.clients, max(1, arguments.seconds // SLICES))
    rows = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1)]
    settings = {"max_connections": arguments.clients + 2 * POOL + 50}
    with create_primary(installation=embedded(), auth="trust", settings=settings) as primary:
        primary.installation.run("pgbench", "-i", "-q", "-s", "10", environment=primary.environment())
        for name in arguments.only:
            fault = "" if name == "works" else name
            rows.append(build_row(fault, run_fault(primary, fault, load)))
    facts = {"load": f"pgbench -S, {arguments.clients} clients, a tenth traced, {arguments.seconds} s each"}
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    text = describe_machine(facts) + "\n" + table
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
