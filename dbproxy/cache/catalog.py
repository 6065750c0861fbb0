"""What PostgreSQL's catalog says of a database for the result cache: what answers depend on, and what writes reach.

PostgreSQL tracks itself what the queries of views, policies, defaults and check constraints use (pg_depend), and names
it by OID; but for its own functions, for which their text is looked at (`Relation.query`, `policies`). Of functions
only the text is known. Any user may run both statements.

Rows are told apart (cache.fence) by a column of integers that is unique, where nothing but a statement that sets it,
and foreign keys, can change it: the table has no triggers, rules, parents or children, and `=` means PostgreSQL's own.
"""

from collections.abc import Iterable

from dbproxy.cache.definitions import Definitions, Function, Key, Relation
from dbproxy.cache.schema import Schema
from dbproxy.sql.access import DELETES, INSERTS, UPDATES, quote
from dbproxy.sql.source import spell_query

Row = tuple[str, str, str, str, str]

# Its rows are kind, oid, name, other, text; names (schema.name, by parts) and texts are hexadecimal, of UTF-8 whatever
# client_encoding is. A function's text of more than 16 KiB is left out. Looking at a view takes the lock that reading
# it takes: whoever runs this sets a lock_timeout.
QUERY = """
WITH owner (class, id, relation, kind) AS (
    SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, oid, ev_class, 'calls'
      FROM pg_catalog.pg_rewrite WHERE ev_type = '1' AND ev_class >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, r.oid, r.polrelid, 'calls'
      FROM pg_catalog.pg_policy AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.polrelid AND c.relrowsecurity
    UNION ALL
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid, adrelid, 'fills'
      FROM pg_catalog.pg_attrdef WHERE adrelid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, conrelid, 'fills'
      FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384
), used (relation, kind, class, id) AS (
    SELECT DISTINCT o.relation, o.kind, d.refclassid, d.refobjid
      FROM pg_catalog.pg_depend AS d JOIN owner AS o ON o.class = d.classid AND o.id = d.objid
     WHERE d.refobjid >= 16384 AND d.refobjid <> o.relation
), numbered (relation, number, name) AS (
    SELECT DISTINCT ON (c.oid) c.oid, (
           SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS b
            WHERE b.attrelid = c.oid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped), a.attname::text
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
     WHERE c.oid >= 16384 AND c.relkind = 'r' AND NOT c.relispartition AND i.indisunique AND i.indnatts = 1
       AND a.atttypid IN (20, 21, 23) AND COALESCE(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') = ''
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE c.oid IN (inhrelid, inhparent))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator WHERE oid >= 16384 AND oprname = '='
                          AND (oprleft IN (20, 21, 23) OR oprright IN (20, 21, 23)))
     ORDER BY c.oid, NOT i.indisprimary, i.indexrelid
)
SELECT kind, oid::pg_catalog.text,
       pg_catalog.concat(pg_catalog.encode(pg_catalog.convert_to(schema, 'UTF8'), 'hex') || '.',
                         pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'hex')),
       other, COALESCE(pg_catalog.encode(pg_catalog.convert_to(text, 'UTF8'), 'hex'), '')
  FROM (
    SELECT 'relation', c.oid, n.nspname::text, c.relname::text, pg_catalog.concat(c.relkind, c.relpersistence),
           CASE c.relkind WHEN 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    UNION ALL
    SELECT 'function', p.oid, n.nspname::text, p.proname::text,
           pg_catalog.concat(p.prokind, p.provolatile, CASE t.typtype WHEN 'c' THEN 'c' ELSE '-' END, l.lanname),
           CASE WHEN l.lanname IN ('sql', 'plpgsql') AND pg_catalog.octet_length(p.prosrc) <= 16384
                THEN COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) END
      FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
      JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
      LEFT JOIN pg_catalog.pg_type AS t ON t.oid = p.proargtypes[0]
     WHERE p.oid >= 16384
    UNION ALL
    SELECT 'uses', p.oid, NULL, NULL, a.aggfnoid::oid::text, NULL
      FROM pg_catalog.pg_aggregate AS a JOIN pg_catalog.pg_proc AS p ON p.oid IN (
           a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
     WHERE a.aggfnoid >= 16384 AND p.oid >= 16384
    UNION ALL
    SELECT 'default', oid, NULL, NULL, '', pg_catalog.pg_get_expr(proargdefaults, 0)
      FROM pg_catalog.pg_proc WHERE oid >= 16384 AND pronargdefaults > 0
    UNION ALL
    SELECT 'operator', oprcode, NULL, oprname::text, '', NULL
      FROM pg_catalog.pg_operator WHERE oprcode >= 16384
    UNION ALL
    SELECT 'cast', castfunc, NULL, NULL, '', NULL FROM pg_catalog.pg_cast WHERE castfunc >= 16384
    UNION ALL
    SELECT 'child', inhparent, NULL, NULL, inhrelid::text, NULL FROM pg_catalog.pg_inherits
    UNION ALL
    SELECT 'reads', relation, NULL, NULL, id::text, NULL
      FROM used WHERE kind = 'calls' AND class = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL
    SELECT kind, relation, NULL, NULL, id::text, NULL
      FROM used WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION ALL
    SELECT u.kind, u.relation, NULL, NULL, o.oprcode::oid::text, NULL
      FROM used AS u JOIN pg_catalog.pg_operator AS o ON o.oid = u.id
     WHERE u.class = 'pg_catalog.pg_operator'::pg_catalog.regclass
    UNION ALL
    SELECT 'policy', r.polrelid, NULL, NULL, '', pg_catalog.pg_get_expr(r.polqual, r.polrelid)
      FROM pg_catalog.pg_policy AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.polrelid
     WHERE c.relrowsecurity AND r.polcmd IN ('r', '*') AND r.polqual IS NOT NULL
    UNION ALL
    SELECT 'trigger', tgrelid, NULL, NULL, pg_catalog.concat(tgfoid::oid, ' ', tgtype), NULL
      FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'
    UNION ALL
    SELECT 'rule', ev_class, NULL, NULL, ev_type::text, NULL
      FROM pg_catalog.pg_rewrite WHERE ev_type <> '1' AND ev_class >= 16384
    UNION ALL
    SELECT 'key', confrelid, NULL, NULL, pg_catalog.concat(conrelid, ' ', confdeltype, confupdtype), NULL
      FROM pg_catalog.pg_constraint WHERE contype = 'f'
    UNION ALL
    SELECT 'row', relation, NULL, NULL, number::text, name FROM numbered
  ) AS found (kind, oid, schema, name, other, text)
"""

# One text that is another whenever the answer to QUERY, or what anybody may see, or what a query means may have
# changed: rows are known by the transaction that wrote them, those of pg_class, which is written for many reasons, by
# what counts. So is what the configuration gives a new session of whoever looks: settings that all users see, that come
# with no library, which one session has loaded and another not. (By ALTER ROLE … SET two users may have two texts: once
# the other one looks, answers end for nothing.) Neither what is written to tables nor VACUUM and ANALYZE change it. It
# takes no lock on what it is about.
MARK = """
WITH kept (id) AS (SELECT oid FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't')
SELECT pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(pg_catalog.hashtextextended(row, 0)))
  FROM (
    SELECT pg_catalog.concat('c', c.oid, ' ', c.relname, ' ', c.relnamespace, ' ', c.relkind, c.relpersistence,
                             c.relrowsecurity, c.relforcerowsecurity, ' ', c.relowner, ' ', c.relacl::text, ' ',
                             c.reloptions::text, ' ', a.mark)
      FROM pg_catalog.pg_class AS c
      LEFT JOIN (SELECT attrelid, pg_catalog.sum(xmin::text::bigint) FROM pg_catalog.pg_attribute
                  WHERE attrelid >= 16384 AND attnum > 0 GROUP BY attrelid) AS a (id, mark) ON a.id = c.oid
     WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't'
    UNION ALL
    SELECT pg_catalog.concat('f', p.oid, ' ', p.xmin)
      FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
     WHERE p.oid >= 16384 AND n.nspname !~ '^pg_temp_'
    UNION ALL
    SELECT pg_catalog.concat('o', oid, ' ', xmin) FROM pg_catalog.pg_operator WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.concat('a', castsource, ' ', casttarget, ' ', xmin) FROM pg_catalog.pg_cast WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.concat('e', oid, ' ', xmin) FROM pg_catalog.pg_enum WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.concat('n', oid, ' ', xmin) FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL
    SELECT pg_catalog.concat('r', r.oid, ' ', r.xmin) FROM pg_catalog.pg_rewrite AS r JOIN kept ON id = ev_class
    UNION ALL
    SELECT pg_catalog.concat('p', oid, ' ', xmin) FROM pg_catalog.pg_policy
    UNION ALL
    SELECT pg_catalog.concat('i', inhrelid, ' ', inhparent) FROM pg_catalog.pg_inherits JOIN kept ON id = inhrelid
    UNION ALL
    SELECT pg_catalog.concat('t', t.oid, ' ', t.xmin) FROM pg_catalog.pg_trigger AS t JOIN kept ON id = tgrelid
     WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_catalog.concat('k', k.oid, ' ', k.xmin) FROM pg_catalog.pg_constraint AS k JOIN kept ON id = conrelid
     WHERE contype IN ('c', 'f')
    UNION ALL
    SELECT pg_catalog.concat('x', indexrelid) FROM pg_catalog.pg_index JOIN kept ON id = indrelid WHERE indisunique
    UNION ALL
    SELECT pg_catalog.concat('w', oid, ' ', xmin) FROM pg_catalog.pg_ts_dict
    UNION ALL
    SELECT pg_catalog.concat('m', mapcfg, maptokentype, mapseqno, ' ', xmin) FROM pg_catalog.pg_ts_config_map
    UNION ALL
    SELECT pg_catalog.concat('u', oid, ' ', rolname, ' ', rolsuper, rolinherit, rolbypassrls) FROM pg_catalog.pg_roles
    UNION ALL
    SELECT pg_catalog.concat('g', roleid, ' ', member, ' ', grantor, ' ', xmin) FROM pg_catalog.pg_auth_members
    UNION ALL
    SELECT pg_catalog.concat('s', setdatabase, ' ', setrole, ' ', xmin) FROM pg_catalog.pg_db_role_setting
    UNION ALL
    SELECT pg_catalog.concat('v', name, ' ', reset_val) FROM pg_catalog.pg_settings
     WHERE context = 'user' AND name !~ '[.]' AND name NOT IN ('application_name', 'client_encoding')
  ) AS found (row)
"""

_RULED = {"2": UPDATES, "3": INSERTS, "4": DELETES}  # pg_rewrite.ev_type
_INSTEAD = 1 << 6  # pg_trigger.tgtype


def read_schema(rows: Iterable[Row]) -> Schema:
    """What the answer to QUERY says."""
    return Schema(read_definitions(rows))


def read_definitions(rows: Iterable[Row]) -> Definitions:
    found = Definitions()
    edges: list[Row] = []
    for row in rows:
        if row[0] == "relation":
            _add_relation(found, row)
        elif row[0] == "function":
            _add_function(found, row)
        else:
            edges.append(row)
    for kind, oid, name, other, text in edges:
        if kind in ("operator", "cast", "uses", "default"):
            _add_use(found, kind, int(oid), name or other, _unhex(text))
        elif (relation := found.relations.get(int(oid))) is not None:  # but for temporary tables
            _add_edge(found, relation, kind, other, text)
    return found


def _add_relation(found: Definitions, row: Row) -> None:
    _, oid, name, other, text = row
    schema, plain = map(_unhex, name.split("."))
    relation = Relation(int(oid), f"{quote(schema)}.{quote(plain)}", other[0], other[1], query=_unhex(text))
    found.add_relation(relation, quote(plain))


def _add_function(found: Definitions, row: Row) -> None:
    _, oid, name, other, text = row
    schema, plain = map(_unhex, name.split("."))
    language = other[3:]
    source = spell_query(_unhex(text)) if language == "sql" else _unhex(text)
    function = Function(
        int(oid), f"{quote(schema)}.{quote(plain)}", other[0] == "a", other[1], language, source
    )
    found.add_function(function, quote(plain))
    if other[2] == "c":
        found.columns.setdefault(plain.lower(), []).append(function)


def _add_use(found: Definitions, kind: str, oid: int, name: str, text: str) -> None:
    function = found.functions.get(oid)
    if function is None:
        return
    if kind == "operator":
        found.operators.setdefault(_unhex(name), []).append(function)
    elif kind == "cast":
        found.casts.append(function)
    elif kind == "default":
        function.defaults = "SELECT " + text
    elif (aggregate := found.functions.get(int(name))) is not None:
        aggregate.uses.append(function)


def _add_edge(found: Definitions, relation: Relation, kind: str, other: str, text: str) -> None:
    if kind == "policy":
        relation.policies.append("SELECT " + _unhex(text))
    elif kind == "rule":
        relation.rules |= _RULED[other]
    elif kind == "row":
        relation.row_key = (_unhex(text), int(other))
    elif kind == "trigger":
        _add_trigger(found, relation, *map(int, other.split()))
    elif kind in ("calls", "fills"):
        if (called := found.functions.get(int(other))) is not None:
            (relation.calls if kind == "calls" else relation.fills).append(called)
    elif (table := found.relations.get(int(other.split()[0]))) is not None:
        if kind == "key":
            relation.keys.append(Key(table, *other.split()[1]))
        else:
            (relation.children if kind == "child" else relation.reads).append(table)


def _add_trigger(found: Definitions, relation: Relation, function: int, happening: int) -> None:
    """PostgreSQL's own trigger functions write nothing else."""
    if happening & _INSTEAD:
        relation.rules |= happening
    elif function in found.functions:
        relation.triggers.append((happening, found.functions[function]))


def _unhex(text: str) -> str:
    return bytes.fromhex(text).decode()
