"""Where a statement would go, and why, in words: `dbproxy explain`, and EXPLAIN ROUTE on the console.

It is told as for a client that has just logged in and has written nothing. Nothing is counted, and nothing is changed.
"""

from dataclasses import replace

from dbproxy.cluster.member import Member
from dbproxy.pool.parameters import NOTHING
from dbproxy.routing.consistency import NOT_TOLD, needed, needed_for
from dbproxy.routing.lsn import format_lsn
from dbproxy.routing.reader import Reader
from dbproxy.routing.router import Router
from dbproxy.routing.wishes import EVENTUAL, GLOBAL, SEES_ALL, Wishes
from dbproxy.sql.cache import StatementCache, find_key
from dbproxy.sql.identity import Shape, hash_key
from dbproxy.sql.parser import UNREADABLE, classify
from dbproxy.sql.statement import CHANGES, SHOWS_TOKEN, UNKNOWN, Statement

PARSE_LIMIT = 16384  # bytes; sql.cache's
PRIMARY, REPLICA = "It goes to the primary", "A replica may answer it"
_UNFIT = {
    "unknown": "it has not answered a probe yet",
    "fenced": "it takes writes without being the primary",
    "disabled": "an operator has disabled it",
    "draining": "an operator drains it",
}


# --- by the grammar alone ---


def explain_text(text: bytes) -> list[str]:
    """What can be told without a database; what would be looked up in its catalog is named."""
    statement = read(text)
    obstacle = object_by_grammar(statement)
    if obstacle:
        return [f"{PRIMARY}: {obstacle}."]
    named = name_lookups(statement) if not statement.hint else []
    return [f"{REPLICA}: {praise(statement)}.", *named, *describe_hint(statement)]


def read(text: bytes, *, read_only: bool = False) -> Statement:
    statement = classify(text) if len(text) <= PARSE_LIMIT else UNREADABLE
    return replace(statement, begins_read_only=True) if read_only and statement.begins else statement


def object_by_grammar(statement: Statement) -> str:
    """Why no replica may answer it, whatever the catalog says; ""."""
    if statement.hint == "primary":
        return "its hint says so"
    if statement.effects & SHOWS_TOKEN:
        return "it asks where its own session is"
    if statement.reads or statement.begins_read_only:
        return ""
    if statement == UNREADABLE:
        return "PostgreSQL's grammar does not read it, or it is too long to be looked at"
    if not statement.single:
        return "one of its statements is no read"
    if statement.begins:
        return "it begins a transaction, which may write"
    if statement.effects & CHANGES:
        return "it changes the schema"
    if statement.effects & UNKNOWN:
        return "it may do anything"
    if statement.effects:
        return "it does something to its session"
    return "it is no read: it writes, locks, or asks what only its own server knows"


def praise(statement: Statement) -> str:
    if statement.begins_read_only:
        return "it begins a transaction that only reads, and that is carried out there as a whole"
    return "it is a read"


def name_lookups(statement: Statement) -> list[str]:
    """What the catalog is asked for, all of it."""
    found = []
    if statement.functions:
        found.append(
            f"{spell(statement.functions)} must be known to the database's catalog, and not volatile."
        )
    if statement.relations:
        found.append(f"{spell(statement.relations)} must be tables, or views whose queries are reads.")
    if statement.calls:
        found.append(f"{spell(statement.calls)} must not be volatile where the database defines its own.")
    return found


def describe_hint(statement: Statement) -> list[str]:
    """Of one that asks for a replica: its author answers for the functions."""
    return [f"Its hint asks for {statement.hint}: the catalog is not asked."] if statement.hint else []


def spell(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


# --- where it would go now ---


def explain_route(router: Router, text: bytes, *, read_only: bool = False) -> list[str]:
    """Where it would go at this moment, then what is known of each host. `read_only`: of sessions of such an entry."""
    statement, advice = take_advice(router, read(text, read_only=read_only))
    shape = StatementCache(1).find(text)
    settings, lsn = router.settings, needed_lsn(router, shape)
    percent = 100 if read_only else settings.percent
    obstacle = object_now(router, statement, text, percent)
    spared = read_only or bool(statement.hint)  # the primary answers only if no replica can
    hosts = [
        (member, object_to_host(router, member, statement, lsn, spared=spared))
        for member in router.cluster.members
    ]
    able = [member.name for member, objection in hosts if not objection]
    if obstacle:
        verdict = f"{PRIMARY}: {obstacle}."
    elif not able:
        verdict = f"{PRIMARY}: no replica can answer."
    elif settings.mode == "observe":
        verdict = f"{PRIMARY}: routing is only observed. Else it would go to {' or '.join(able)}."
    else:
        verdict = f"It goes to {' or '.join(able)}: {praise(statement)}{describe_share(percent)}."
    after = [] if obstacle else [*describe_hint(statement), *describe_consistency(router, shape)]
    return [verdict, *advice, *after, *(describe_host(router, member, why) for member, why in hosts)]


def take_advice(router: Router, statement: Statement) -> tuple[Statement, list[str]]:
    """With the hint that the plugin or a rule gives it, and that said in words."""
    hint = "" if statement.hint else router.advice.find_hint(statement, NOTHING, router.cluster.members)
    if not hint:
        return statement, []
    return replace(statement, hint=hint), [
        f"The hint {hint} is a rule's or the plugin's (routing.rules, routing.plugin)."
    ]


def object_now(router: Router, statement: Statement, text: bytes, percent: int) -> str:
    """Why the primary must answer it, whatever the hosts are like; ""."""
    if router.settings.mode == "off":
        return 'routing.mode is "off"'
    obstacle = object_by_grammar(statement)
    if not obstacle and percent == 0:
        return "routing.percent is 0"
    if obstacle or statement.begins_read_only or statement.hint:
        return obstacle
    if statement.functions or statement.relations or statement.calls:
        if router.catalog is None:
            return "the database's catalog has not been read yet"
        obstacle = router.catalog.allows(statement)
    if not obstacle and hash_key(find_key(text)) in [shape.hash for shape in router.rescues.hopeless]:
        return "replicas have failed too often to answer it (SHOW RESCUES)"
    return obstacle


def needed_lsn(router: Router, shape: Shape) -> int:
    """What a newcomer has to see."""
    if not router.cluster.positions:
        return 0
    wishes = Wishes({}, router.settings.consistency)
    fence = router.primary.tenant.fence
    if wishes.sees == SEES_ALL and fence is not None:
        lsn = needed_for((shape,), fence, router.commits)
        if lsn != NOT_TOLD:
            return lsn
    return needed(wishes, Reader(), router.commits)


def object_to_host(router: Router, member: Member, statement: Statement, lsn: int, *, spared: bool) -> str:
    """Why this one does not answer reads now; ""."""
    if member is router.cluster.primary:
        return "" if member.load.share > 0.0 and not spared else "it is the primary"
    wanted = statement.hint[len("replica(") : -1]
    if wanted and member.name != wanted:
        return f"the hint asks for {wanted}"
    if not member.fit:
        return _UNFIT.get(member.state) or (
            f"it lags by {member.lag.seconds:.1f} s"
            if member.state == "lagging"
            else f"it is down: {member.health.last_error}"
        )
    if member.health.suspect:
        return f"it is probed after an error: {member.health.last_error}"
    if member.role != "replica":
        return "it is not known to be a replica"
    if member.position.lsn < lsn:
        return "it has not replayed all commits that must be seen"
    return ""


def describe_sight(tables: list[str] | None) -> str:
    if tables is None:
        return (
            "It sees all commits made through this proxy: a replica that has not replayed them is left out."
        )
    if not tables:
        return "It reads no table: only what may change any table, such as DDL, has to be replayed."
    return f"It sees all commits made through this proxy to {', '.join(tables)}: a replica without them is left out."


def describe_host(router: Router, member: Member, objection: str) -> str:
    place = f"at {format_lsn(member.position.lsn)}" if member.position.lsn else "position not known"
    lag = "" if member is router.cluster.primary else f", {member.lag.bytes} bytes behind"
    return f"{member.name} ({member.state}, {place}{lag}): {objection or 'can answer'}."


def describe_share(percent: int) -> str:
    return (
        f"; in {percent} % of the sessions (routing.percent), in the others it goes to the primary"
        if percent < 100
        else ""
    )


def find_tables(router: Router, shape: Shape) -> list[str] | None:
    """What it reads; None: that is not known."""
    fence = router.primary.tenant.fence
    if fence is None or fence.knowledge is None or not fence.knows():
        return None
    oids = fence.knowledge.find_sources(shape)
    return None if oids is None else sorted(fence.knowledge.names.get(oid, str(oid)) for oid in oids)


def describe_consistency(router: Router, shape: Shape) -> list[str]:
    consistency = router.settings.consistency
    if consistency == EVENTUAL:
        return ["It may miss the latest commits (routing.consistency is eventual)."]
    if not router.cluster.positions:
        hold = router.settings.primary_after_write
        return [
            f"The hosts tell no positions: a client that has written reads from the primary for {hold:g} s."
        ]
    if consistency == GLOBAL:
        return [describe_sight(find_tables(router, shape))]
    return ["A client that has written goes to replicas that have replayed that, or to the primary."]
