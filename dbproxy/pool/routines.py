"""What the database's own functions do to a session: read from pg_proc once in a while, matched by name.

A function is judged by the words of its source (sql.source), and by those of the functions that it calls. Names
stand for all functions that have them, in whatever schema: the safe side.
"""

from collections.abc import Iterable, Mapping

from dbproxy.sql.source import called_names, judge_source
from dbproxy.sql.statement import RESETS, SETS, SETS_UNKNOWN, Statement

Effects = tuple[int, frozenset[str]]  # what a call may do (sql.statement), and which settings it names

REFRESH = 60.0  # seconds after which they are read again
MOST = 1024  # names of what was defined through this proxy
QUERY = """
SELECT pg_catalog.encode(pg_catalog.convert_to(p.proname, 'UTF8'), 'hex'),
       pg_catalog.encode(pg_catalog.convert_to(
           COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8'), 'hex')
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
 WHERE l.lanname NOT IN ('internal', 'c') AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
"""


class Routines:
    """Those of one database that do anything, by name.

    What was read is as old as its snapshot: a function that was defined through this proxy meanwhile, or in a
    transaction that has not ended, is not in it. So what was defined here counts beside it for good.
    """

    def __init__(self) -> None:
        self.known: dict[str, Effects] = {}
        self.defined: dict[str, Effects] = {}
        self.read_at = 0.0
        self.sets_unseen = False  # some of them set settings: a trigger or a view may call them

    def define(self, statement: Statement) -> None:
        """A CREATE FUNCTION is sent."""
        for name, effects in defined(statement, self.known).items():
            self.known[name] = self.defined[name] = effects
        while len(self.defined) > MOST:
            del self.defined[next(iter(self.defined))]
        self.sets_unseen = may_set(self.known)

    def renew(self, found: Mapping[str, Effects], now: float) -> None:
        """They have been read (`judge_routines`)."""
        self.known = dict(found)
        for name, effects in self.defined.items():
            self.known[name] = join(self.known.get(name, NONE), effects)
        self.sets_unseen = may_set(self.known)
        self.read_at = now


def judge_routines(sources: Iterable[tuple[str, str]]) -> dict[str, Effects]:
    """By name, those that do anything: of (name, source) pairs, in any order."""
    found: dict[str, Effects] = {}
    calls: dict[str, frozenset[str]] = {}
    for name, source in sources:
        found[name] = join(found.get(name, NONE), judge_source(source))
        calls[name] = calls.get(name, frozenset()) | called_names(source)
    spread(found, calls)
    return {name: effects for name, effects in found.items() if effects != NONE}


def may_set(routines: Mapping[str, Effects]) -> bool:
    """Whether some function of the database sets settings."""
    return any(effects & (SETS | SETS_UNKNOWN | RESETS) for effects, _ in routines.values())


def spread(found: dict[str, Effects], calls: Mapping[str, frozenset[str]]) -> None:
    """Give each function the effects of those it calls, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for name, called in calls.items():
            joined = found[name]
            for other in called & found.keys():
                joined = join(joined, found[other])
            if joined != found[name]:
                found[name] = joined
                changed = True


def defined(statement: Statement, known: Mapping[str, Effects]) -> dict[str, Effects]:
    """What a CREATE FUNCTION adds to those known."""
    effects = (statement.defined_effects, statement.defined_settings)
    for name in statement.defined_calls & known.keys():
        effects = join(effects, known[name])
    if effects == NONE:
        return {}
    return {name: join(known.get(name, NONE), effects) for name in statement.defines if name}


def join(one: Effects, other: Effects) -> Effects:
    return one[0] | other[0], one[1] | other[1]


NONE: Effects = (0, frozenset())
