"""Run asyncpg's tests directly and through the proxy; 0 if what differs is what docs/compatibility.md lists."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dbproxy.demo.postgres import create_primary
from tests.compat import page, suite
from tests.compat.outcomes import Pair, Verdict, judge, tally
from tests.support.proxy import ROOT, Proxy

PAGE = ROOT / "docs" / "compatibility.md"
SERVER = {"jit": False, "log_connections": True}  # as asyncpg's own suite sets them
PROXY = {"auth.type": "trust", "pool.mode": "transaction", "pool.size": 10, "pool.reserve_size": 0}


@contextmanager
def serve(*, proxied: bool, title: str) -> Iterator[int]:
    """A new PostgreSQL, and a proxy before it: the port to connect to."""
    with create_primary(auth="trust", settings=SERVER) as primary:
        if not proxied:
            yield primary.port
            return
        with Proxy(primary.dsn(), settings=PROXY) as proxy:
            try:
                yield proxy.port
            finally:
                _keep_log(proxy, suite.BUILD / f"{title}-dbproxy.log")


def _keep_log(proxy: Proxy, path: Path) -> None:
    path.write_text(proxy.log())
    if errors := proxy.log().count('"internal error"'):
        print(f"the proxy logged {errors} internal errors: {path}")


def run_pair(tests: Path, title: str, files: list[str]) -> Pair:
    outcomes = []
    for name in ("direct", "proxied"):
        with serve(proxied=name == "proxied", title=f"{title}-{name}") as port:
            outcomes.append(suite.run(tests, port, f"{title}-{name}", files))
        print(f"{title} run, {name + ':':<8} {tally(outcomes[-1])}", flush=True)
    return Pair(*outcomes)


def report(verdict: Verdict, reasons: Mapping[str, str]) -> None:
    for name, (direct, proxied) in verdict.explained.items():
        print(f"  explained    {name}: {direct} -> {proxied}: {reasons[name]}")
    for name in verdict.unstable:
        print(f"  unstable     {name}")
    for name, (direct, proxied) in verdict.unexplained.items():
        print(f"  UNEXPLAINED  {name}: {direct} -> {proxied}")
    for name in verdict.stale:
        print(f"  STALE        {name}: is listed, and does not differ")
    print(f"{'holds' if verdict.holds else 'DOES NOT HOLD'}: {PAGE.relative_to(ROOT)}; logs: {suite.BUILD}")


def main() -> int:
    reasons = page.parse(PAGE.read_text())
    tests = suite.fetch()
    first = second = run_pair(tests, "first", [])
    if doubtful := first.doubtful(reasons):  # whole files again: a test may fail by what another left behind
        second = run_pair(tests, "second", sorted({name.split("::")[0] for name in doubtful}))
    verdict = judge(reasons, first, second)
    report(verdict, reasons)
    return int(not verdict.holds)


if __name__ == "__main__":
    sys.exit(main())
