"""What the database's own functions do to a session: read from pg_proc once in a while, matched by name.

A function is judged by the words of its source (sql.source), and by those of the functions that it calls. Names
stand for all functions that have them, in whatever schema: the safe side.
"""

from collections.abc import Iterable, Mapping

from dbproxy.sql.source import called_names, judge_source
from dbproxy.sql.statement import RESETS, SETS, SETS_UNKNOWN, Statement

Effects = tuple[int, frozenset[str]]  # what a call may do (sql.statement), and which settings it names

REFRESH = 60.0  # seconds after which they are read again
QUERY = """
SELECT pg_catalog.encode(pg_catalog.convert_to(p.proname, 'UTF8'), 'hex'),
       pg_catalog.encode(pg_catalog.convert_to(
           COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8'), 'hex')
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
 WHERE l.lanname NOT IN ('internal', 'c') AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
"""


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
    """Whether a trigger or a view could set settings unseen: some function of the database does."""
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
