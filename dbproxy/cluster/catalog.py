"""What a database has defined itself, for reads: whether a replica may run its functions and read its relations.

`sql` tells a read from other statements by what PostgreSQL itself defines; what else a read calls and reads is looked
up here, by name. A name stands for all that have it, in whatever schema and with whatever arguments: the safe side.
Most things are as safe as they are declared to be (pg_proc.provolatile). Others have a *text*, SQL that reading or
calling them runs, and are as safe as that is, which is judged when it is first asked for:

    a view                        its query
    a volatile function in SQL    its text (VOLATILE is what CREATE FUNCTION takes if nobody says)
    an aggregate, an operator     calls of the functions behind it
    a table with row security     its policies' conditions
    a parent or partitioned table its foreign and unlogged children, and those that may have such

What is not looked at: functions behind casts, domains and index operators, and `table.function` written as if it were
a column. If such a function writes, a replica refuses the statement.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dbproxy.sql.parser import classify
from dbproxy.sql.source import spell_query
from dbproxy.sql.statement import Statement

LIMIT = 16384  # bytes of a text that is looked at

# Any user may run it. Its rows are kind, name and text; the last two are hexadecimal, of UTF-8 whatever client_encoding
# is. Looking at a view takes the lock that reading it takes: whoever runs this sets a lock_timeout, and keeps the
# catalog that there was if it fails.
QUERY = """
SELECT kind, pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'hex'),
       pg_catalog.encode(pg_catalog.convert_to(text, 'UTF8'), 'hex')
  FROM (
    SELECT CASE WHEN p.prokind = 'a' THEN 'aggregate'
                WHEN p.provolatile <> 'v' OR (l.lanname = 'c' AND p.proname IN (
                     'uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4', 'gen_random_bytes', 'gen_salt'))
                THEN 'steady'
                WHEN l.lanname = 'sql' THEN 'function' ELSE 'volatile' END,
           p.proname::text,
           CASE WHEN p.prokind = 'a' THEN
                (SELECT 'SELECT 1' || pg_catalog.string_agg(', ' || pg_catalog.quote_ident(s.proname) || '()', '')
                   FROM pg_catalog.pg_aggregate AS a JOIN pg_catalog.pg_proc AS s ON s.oid IN (
                        a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
                  WHERE a.aggfnoid = p.oid AND s.oid >= 16384)
                WHEN p.provolatile = 'v' AND l.lanname = 'sql' THEN
                COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) END
      FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
     WHERE p.oid >= 16384 AND p.prokind <> 'p'
    UNION ALL
    SELECT 'operator', o.oprname::text, 'SELECT ' || pg_catalog.quote_ident(p.proname) || '()'
      FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode
     WHERE o.oid >= 16384 AND p.oid >= 16384
    UNION ALL
    SELECT CASE WHEN c.relpersistence = 'u' THEN 'unlogged' WHEN c.relkind = 'f' THEN 'foreign'
                WHEN c.relkind = 'S' THEN 'sequence' ELSE 'view' END,
           c.relname::text, CASE c.relkind WHEN 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END
      FROM pg_catalog.pg_class AS c
     WHERE c.oid >= 16384 AND (c.relkind IN ('v', 'f', 'S') OR (c.relpersistence = 'u' AND c.relkind <> 'i'))
    UNION ALL
    SELECT 'table', c.relname::text, 'SELECT ' || pg_catalog.pg_get_expr(r.polqual, r.polrelid)
      FROM pg_catalog.pg_policy AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.polrelid
     WHERE c.relrowsecurity AND r.polcmd IN ('r', '*') AND r.polqual IS NOT NULL
    UNION ALL
    SELECT 'table', c.relname::text, 'TABLE ' || pg_catalog.quote_ident(child.relname)
      FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhparent
      JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid
     WHERE child.relkind IN ('f', 'p') OR (child.relkind = 'r' AND (child.relpersistence = 'u' OR child.relhassubclass))
  ) AS found (kind, name, text)
"""

# One text that is another whenever the answer to QUERY may be: rows are known by the transaction that wrote them, those
# of pg_class, which is written for many reasons, by what counts. It takes no lock on what it is about.
MARK = """
SELECT pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(pg_catalog.hashtext(row)))
  FROM (
    SELECT pg_catalog.concat('f', oid, ' ', xmin) FROM pg_catalog.pg_proc WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.concat('o', oid, ' ', xmin) FROM pg_catalog.pg_operator WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.concat('r', oid, ' ', xmin) FROM pg_catalog.pg_rewrite WHERE ev_class >= 16384
    UNION ALL
    SELECT pg_catalog.concat('p', oid, ' ', xmin) FROM pg_catalog.pg_policy
    UNION ALL
    SELECT pg_catalog.concat('i', inhrelid, ' ', inhparent) FROM pg_catalog.pg_inherits
    UNION ALL
    SELECT pg_catalog.concat('c', oid, ' ', relname, ' ', relkind, relpersistence, relrowsecurity)
      FROM pg_catalog.pg_class
     WHERE oid >= 16384 AND relpersistence <> 't'
       AND (relkind IN ('v', 'f', 'S', 'p') OR relrowsecurity OR (relpersistence = 'u' AND relkind <> 'i'))
  ) AS found (row)
"""

_FAULTS = {
    "volatile": "is volatile",
    "unlogged": "is unlogged: a replica does not have it",
    "foreign": "is on another server",
    "sequence": "is ahead on a replica",
}
_ALL_FAULTS = (
    "is not known", "is volatile", "is unlogged", "is on another server", "is ahead on a replica",
    "cannot be looked at", "is too long to be looked at", "is no read",
)  # fmt: skip
_CALLED = frozenset({"steady", "volatile", "function", "aggregate", "operator"})
_SPELLED = frozenset({"view", "function", "operator", "table"})  # these have a text
_NOUNS = {"steady": "function", "volatile": "function", "unlogged": "table", "foreign": "table"}


@dataclass(slots=True, eq=False)
class Definition:
    """All that has one name. `fault`: what is wrong with it, "" for nothing, None if `texts` are yet to be judged."""

    name: str
    noun: str
    fault: str | None = ""
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str | None) -> None:
        self.noun = _NOUNS.get(kind, kind)
        if text:
            self.texts.append(text)
        if kind in _FAULTS:
            self.fault = _FAULTS[kind]
        elif text is None and kind in _SPELLED:
            self.fault = "cannot be looked at"
        elif text and self.fault == "":
            self.fault = None


@dataclass(slots=True, eq=False)
class Freshness:
    """How well a catalog is known to be the database's. Times are monotonic seconds."""

    mark: str = ""  # the answer to MARK, ahead of that to QUERY
    looked_at: float = float("-inf")
    queries: int = 0  # that had been answered by then
    busy_at: float = float("-inf")  # when there were new ones
    read_at: float = float("-inf")  # when somebody last set out to
    stale: bool = False  # DDL has passed since


class Catalog:
    """What is known of one database. Empty, it takes each relation for a table, and allows no function."""

    def __init__(self) -> None:
        self.called: dict[str, Definition] = {}  # functions and operators
        self.relations: dict[str, Definition] = {}  # but for plain tables

    def allows(self, statement: Statement) -> str:
        """Why a replica may not run this read, as far as names tell; "" if it may."""
        seen: set[Definition] = set()
        objection = self._find_objection(statement, seen)
        if (
            not objection
        ):  # nor is there one to anything that was looked at, names that lead to themselves or not
            for definition in seen:
                definition.fault = ""
                definition.texts.clear()
        return objection

    def _find_objection(self, statement: Statement, seen: set[Definition]) -> str:
        if statement.functions and (unknown := statement.functions - self.called.keys()):
            return f'function "{min(unknown)}" is not known'
        for known, names in (
            (self.called, statement.functions),
            (self.called, statement.calls),
            (self.relations, statement.relations),
        ):
            if known.keys().isdisjoint(names):
                continue
            for definition in [known[name] for name in sorted(names & known.keys())]:
                if fault := self._find_fault(definition, seen):
                    return f'{definition.noun} "{definition.name}" {fault}'
        return ""

    def _find_fault(self, definition: Definition, seen: set[Definition]) -> str:
        if definition.fault is None and definition not in seen:
            seen.add(definition)
            faults = (self._judge(text, seen) for text in definition.texts)
            definition.fault = next(filter(None, faults), None)
        return definition.fault or ""

    def _judge(self, text: str, seen: set[Definition]) -> str:
        encoded = text.encode()
        if len(encoded) > LIMIT:
            return "is too long to be looked at"
        statement = classify(encoded)
        if not statement.reads:
            return "is no read: it writes, locks or asks its server"
        objection = self._find_objection(statement, seen)
        return objection and f"is no read: {objection}"


def kind_of(objection: str) -> str:
    """What `Catalog.allows` said, without names, so that it can be counted; "" stays so."""
    found = [(objection.find(fault), fault) for fault in _ALL_FAULTS if fault in objection]
    return f"{objection.partition(' ')[0]} {min(found)[1]}" if found else objection


def read_catalog(rows: Iterable[tuple[str, str, str | None]]) -> Catalog:
    """What the answer to QUERY says."""
    catalog = Catalog()
    for kind, name, text in rows:
        known = catalog.called if kind in _CALLED else catalog.relations
        called = _unhex(name)
        definition = known.setdefault(called, Definition(called, kind))
        definition.add(kind, None if text is None else spell_query(_unhex(text)))
    return catalog


def _unhex(text: str) -> str:
    return bytes.fromhex(text).decode()
