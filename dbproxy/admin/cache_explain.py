"""EXPLAIN CACHE: whether the answer to a statement can be kept, what it depends on, and what a write invalidates.

It is told as for a session without settings of its own. Nothing is counted.
"""

from collections.abc import Iterable, Iterator

from dbproxy.admin.cache_command import CacheQuestion
from dbproxy.admin.cache_figures import list_gates
from dbproxy.admin.house import Caches, House
from dbproxy.admin.table import Table, columns
from dbproxy.cache.case import Case
from dbproxy.cache.cases import NO_READ, STARTING
from dbproxy.cache.definitions import CHANGING, Relation
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.schema import Schema
from dbproxy.cache.terms import BAD_HINT, read_terms
from dbproxy.config.units import show_duration
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.constants import judge_text
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import MOMENTARY

ANSWER = columns("cache:s")
BLIND = "No write ends it, only time: cache.invalidation is ttl."
_SIZE = 16  # texts that are remembered, of one


def explain_cache(house: House, question: CacheQuestion) -> Table:
    """One line for each row; each database and user has its own."""
    text = question.statement.encode("utf-8", "surrogateescape")
    return Table(ANSWER, [(line,) for line in _explain(house.caches, question.database, text)])


def _explain(caches: Caches, database: str, text: bytes) -> Iterator[str]:
    shape = StatementCache(_SIZE).find(text)
    gates = [gate for gate in list_gates(caches) if database in ("", gate.database)]
    for gate in gates:
        yield f"database {gate.database}, user {gate.user}, cache {gate.feature.mode}:"
        yield from (f"  {line}" for line in explain_shape(gate, shape, text))
    if not gates:
        which = f"of {database} " if database else ""
        yield f"No answers {which}are kept: cache.mode is off, or no client has been here since it was turned on."


def explain_shape(gate: CacheGate, shape: Shape, text: bytes) -> Iterator[str]:
    """`shape`: of the text, and not one of those that are counted."""
    case = Case(shape)
    reason = gate.cases.find_objection(case)
    if reason == STARTING:
        yield "What the database defines is being read: ask again in a second."
        return
    if reason:
        yield f"Its answer is not kept: {reason}."
        yield from explain_hint(shape, reason)
        if reason == NO_READ:
            yield from explain_write(gate, shape)
        return
    if judge_text(text) & MOMENTARY:
        yield "Its answer is not kept: a value in it may be read by the clock ('now', 'today')."
        return
    yield from explain_kept(gate, case)


def explain_hint(shape: Shape, reason: str) -> Iterator[str]:
    if reason == BAD_HINT:
        try:
            read_terms(shape.effects.cache_hint)
        except ValueError as error:
            yield f'The hint "{shape.effects.cache_hint}": {error}.'


def explain_kept(gate: CacheGate, case: Case) -> Iterator[str]:
    fence = gate.cases.fence
    names = fence.knowledge.names if fence.knowledge is not None else {}
    tables = sorted(names.get(oid, str(oid)) for oid in case.oids)
    yield f"Its answer can be kept, for {show_duration(case.ttl)}."
    if not tables:
        yield "It depends on no table: only time, or a change of what the database defines, ends it."
    elif not fence.sees:
        yield f"It depends on {join(tables)}. {BLIND}"
    else:
        yield f"It depends on {join(tables)}."
        if case.table is not None:
            yield f"Of {names.get(case.table.oid, case.table.oid)} only the row that it asks for counts."
        yield "What writes there invalidates it: statements, triggers, functions, rules, TRUNCATE, REFRESH."
    if fence.sees and isinstance(fence.knowledge, Schema):
        reaching = sorted(find_reaching(fence.knowledge, case.oids))
        if reaching:
            yield f"So does a DELETE or UPDATE that foreign keys pass on, in {join(reaching)}."
    if fence.sees:
        yield "So does what may change anything: DDL, GRANT, DO, CALL and functions that cannot be read."
    if case.tags:
        yield f"INVALIDATE CACHE TAG does, too: {join(sorted(case.tags))}."
    if fence.followed is not None and not case.oids <= fence.followed:
        unheard = sorted(names.get(oid, str(oid)) for oid in case.oids - fence.followed)
        yield f"But it is not kept now: writes to {join(unheard)} are not told (docs/caching.md)."
    yield from explain_past(gate, case.shape)


def explain_past(gate: CacheGate, shape: Shape) -> Iterator[str]:
    known = [case for case in gate.cases.known.values() if case.shape.name() == shape.name()]
    hits, misses = sum(case.hits for case in known), sum(case.misses for case in known)
    saved = sum(case.saved for case in known)
    if hits + misses:
        yield f"Query {shape.name()}: {hits} hits, {misses} misses, {saved:.3f} s saved."
    else:
        yield f"Query {shape.name()}: nobody has asked for it yet."


def explain_write(gate: CacheGate, shape: Shape) -> Iterator[str]:
    """What carrying it out invalidates."""
    fence = gate.cases.fence
    names = fence.knowledge.names if fence.knowledge is not None else {}
    written = fence.find_written(shape).tables
    if not fence.sees:
        yield BLIND
    elif not written:
        yield "Carrying it out invalidates nothing."
    elif written[0] is fence.whole:
        yield "Carrying it out invalidates all that is kept of this database: what it writes cannot be told."
    else:
        tables = join(sorted(names.get(one.oid, str(one.oid)) for one in written))
        yield f"Carrying it out invalidates answers that depend on {tables}."


def find_reaching(schema: Schema, oids: Iterable[int]) -> set[str]:
    """Tables of which a change is passed on to one of these by foreign keys."""
    relations = schema.definitions.relations
    wanted, found = set(oids), set[int]()
    grown = True
    while grown:
        beside = [one for one in relations.values() if one.oid not in wanted and reaches(one, wanted)]
        grown = bool(beside)
        wanted |= {one.oid for one in beside}
        found |= {one.oid for one in beside}
    return {relations[oid].name for oid in found}


def reaches(relation: Relation, oids: set[int]) -> bool:
    return any(
        key.table.oid in oids and (key.on_delete in CHANGING or key.on_update in CHANGING)
        for key in relation.keys
    )


def join(words: list[str]) -> str:
    return ", ".join(words)
