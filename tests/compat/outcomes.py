"""What became of the tests of two runs, and what the page of accepted differences makes of it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Outcomes: TypeAlias = Mapping[str, str]  # by test; one of GRAVITY

GRAVITY = ("passed", "skipped", "failed", "error")  # of several phases or subtests the gravest counts
MISSING = "missing"  # one run has not come to the test, or does not know it


def fold(lines: Iterable[str]) -> dict[str, str]:
    """The outcome of each test, from the `[test, outcome]` lines that the plugin wrote."""
    outcomes: dict[str, str] = {}
    for name, outcome in map(json.loads, lines):
        outcomes[name] = max(outcome, outcomes.get(name, GRAVITY[0]), key=GRAVITY.index)
    return outcomes


def tally(outcomes: Outcomes) -> str:
    """`300 passed, 2 skipped, 0 failed, 1 error`."""
    counts = Counter(outcomes.values())
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in GRAVITY)


@dataclass(frozen=True)
class Pair:
    """The same tests, directly and through the proxy."""

    direct: Outcomes
    proxied: Outcomes

    def differences(self) -> dict[str, tuple[str, str]]:
        names = sorted({*self.direct, *self.proxied})
        pairs = {name: (self.direct.get(name, MISSING), self.proxied.get(name, MISSING)) for name in names}
        return {name: pair for name, pair in pairs.items() if len(set(pair)) > 1}

    def doubtful(self, listed: Iterable[str]) -> set[str]:
        """Those of which the page says otherwise: worth another run before anybody is blamed."""
        return set(self.differences()) ^ set(listed)


@dataclass(frozen=True)
class Verdict:
    """Each test by name; `unstable` did what the page says in only one of the two runs."""

    explained: dict[str, tuple[str, str]]
    unexplained: dict[str, tuple[str, str]]
    stale: list[str]
    unstable: list[str]

    @property
    def holds(self) -> bool:
        return not self.unexplained and not self.stale


def judge(listed: Iterable[str], first: Pair, second: Pair) -> Verdict:
    """Held against the page is what was doubtful in both runs; the second may have only those in doubt."""
    differences, again, page = first.differences(), second.differences(), set(listed)
    doubtful, repeated = first.doubtful(page), set(again)
    still = {name for name in doubtful if (name in repeated) != (name in page)}
    return Verdict(
        explained={name: pair for name, pair in differences.items() if name in page},
        unexplained={name: again[name] for name in sorted(still - page)},
        stale=sorted(still & page),
        unstable=sorted(doubtful - still),
    )
