"""`make chaos`: faults under 100 clients, one after another, and what the clients saw of each.

For each fault a primary and two replicas of their own, the proxy before them, and clients in a steady mix of reads and
writes. Printed for each: the errors by SQLSTATE, the longest that a statement took, how soon all was well again, and
whether the ledger is right: every commit that was acknowledged is there, once, and none that was refused.
"""

import argparse
import asyncio
import sys

from tests.chaos.faults import FAULTS
from tests.chaos.report import print_table
from tests.chaos.stage import Outcome, run_fault


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0, help="before a fault, under it, and after it")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    for name in arguments.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        outcomes += await run_fault(name, FAULTS[name], arguments.clients, arguments.seconds)
    return outcomes


def main() -> int:
    outcomes = asyncio.run(run(parse_arguments()))
    print_table(outcomes)
    return int(any(outcome.broken for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
