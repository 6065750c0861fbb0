"""Statements that a replica may answer. By group, one a line; what is indented belongs to the line above.

All of them run on `SCHEMA`, `xml` only where PostgreSQL was built with it. The answers of those in `MOMENTARY` depend
on when and where they are asked.
"""

import re
from collections.abc import Iterator, Mapping

SCHEMA = """
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE accounts (
        id int PRIMARY KEY, owner text, balance numeric, mood mood DEFAULT 'happy', tags text[] DEFAULT '{a,b}',
        data jsonb DEFAULT '{"a": [1, 2]}', opened timestamptz DEFAULT '2020-02-02', parent int REFERENCES accounts);
    INSERT INTO accounts (id, owner, balance) SELECT n, 'owner ' || n % 3, n * 10 FROM generate_series(1, 20) AS n;
    CREATE TABLE things (id int, name text);
    INSERT INTO things VALUES (1, 'one'), (2, 'two'), (3, NULL);
    CREATE TABLE "Odd Name" ("Key" int, "select" text);
    CREATE TABLE measures (at date, value float8) PARTITION BY RANGE (at);
    CREATE TABLE measures_2020 PARTITION OF measures FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE SCHEMA other;
    CREATE TABLE other.accounts (id int, note text);
    CREATE VIEW rich AS SELECT id, owner FROM accounts WHERE balance > 100;
    CREATE VIEW richest AS SELECT * FROM rich ORDER BY id DESC LIMIT 1;
    CREATE MATERIALIZED VIEW totals AS SELECT owner, sum(balance) AS total FROM accounts GROUP BY owner;
    CREATE SEQUENCE counter;
    CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
    CREATE FUNCTION other.owners() RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT DISTINCT owner FROM accounts';
"""

_BREAK = re.compile(r"\n(?! )")

READS: Mapping[str, str] = {
    "select": """
SELECT
SELECT 1
select 1;
SELECT 'a', E'b', B'1', x'1F', $$c$$, $q$d$q$, U&'\\0061', NULL, true, 1.5e3, .5, 0x1F, 1_000
SELECT * FROM accounts
SELECT a.id, "owner" AS o FROM accounts AS a WHERE a.id = 3 AND NOT (a.balance < 5 OR a.owner IS NULL)
SELECT accounts.* FROM public.accounts
SELECT note FROM other.accounts
SELECT "Key", "select" FROM "Odd Name"
SELECT ALL id FROM accounts
SELECT DISTINCT owner FROM accounts ORDER BY owner
SELECT DISTINCT ON (owner) owner, id FROM accounts ORDER BY owner, id DESC NULLS LAST
SELECT id FROM accounts ORDER BY id USING > LIMIT 3 OFFSET 1
SELECT id FROM accounts ORDER BY balance DESC FETCH FIRST 3 ROWS WITH TIES
SELECT id FROM accounts ORDER BY id OFFSET 2 ROWS FETCH NEXT ROW ONLY
SELECT id FROM ONLY accounts ORDER BY id LIMIT ALL
SELECT owner, count(*) FROM accounts GROUP BY owner HAVING count(*) > 1 ORDER BY 1
SELECT owner, mood, sum(balance) FROM accounts GROUP BY GROUPING SETS ((owner), (mood), ()) ORDER BY 1, 2
SELECT owner, mood, count(*) FROM accounts GROUP BY ROLLUP (owner, mood) ORDER BY 1, 2
SELECT owner, grouping(owner) FROM accounts GROUP BY CUBE (owner) ORDER BY 1
SELECT count(*) FILTER (WHERE id > 3), array_agg(id ORDER BY id), string_agg(DISTINCT owner, ',') FROM accounts
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY balance) FROM accounts
SELECT id, rank() OVER (PARTITION BY owner ORDER BY id) FROM accounts ORDER BY id
SELECT id, sum(id) OVER w FROM accounts WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY 1
SELECT count(*) FROM accounts TABLESAMPLE system (100)
SELECT count(*) FROM accounts TABLESAMPLE bernoulli (100) REPEATABLE (1)
SELECT ctid, xmin = xmin, tableoid::regclass FROM accounts WHERE id = 1
SELECT at, value FROM measures WHERE at >= DATE '2020-01-01'
TABLE accounts
TABLE ONLY things
VALUES (1, 'a'), (2, 'b')
VALUES (1), (2) ORDER BY 1 LIMIT 1
(SELECT 1)
((SELECT id FROM accounts ORDER BY id LIMIT 1))
/* SELECT 1 FOR UPDATE */ SELECT 2
SELECT 'FOR UPDATE', 'INSERT INTO accounts', $$DROP TABLE accounts$$
SELECT id AS "for update" FROM accounts ORDER BY 1
""",
    "joins and sub-selects": """
SELECT * FROM accounts a JOIN things t ON a.id = t.id ORDER BY a.id
SELECT * FROM accounts LEFT JOIN things USING (id) ORDER BY id
SELECT * FROM accounts NATURAL RIGHT JOIN things ORDER BY id
SELECT count(*) FROM accounts a FULL OUTER JOIN things t ON a.id = t.id
SELECT count(*) FROM accounts CROSS JOIN things, rich
SELECT * FROM things t, LATERAL (SELECT id FROM accounts WHERE id > t.id ORDER BY id LIMIT 1) AS next ORDER BY 1
SELECT * FROM (SELECT id FROM accounts) AS s (number) ORDER BY number
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, name)
SELECT * FROM (accounts a JOIN things t ON a.id = t.id) AS j (a1) ORDER BY 1
SELECT (SELECT count(*) FROM things), EXISTS (SELECT FROM accounts), ARRAY(SELECT id FROM accounts ORDER BY 1)
SELECT id FROM accounts WHERE id IN (SELECT id FROM things) ORDER BY id
SELECT id FROM accounts WHERE id = ANY (SELECT id FROM things) AND id > ALL (ARRAY[0]) ORDER BY id
SELECT id FROM accounts WHERE (id, owner) NOT IN (SELECT id, name FROM things WHERE name IS NOT NULL) ORDER BY id
SELECT 1 UNION SELECT 2 ORDER BY 1
SELECT id FROM accounts UNION ALL (SELECT id FROM things LIMIT 0) ORDER BY 1
SELECT id FROM accounts INTERSECT SELECT id FROM things ORDER BY 1
TABLE things EXCEPT ALL VALUES (1, 'one') ORDER BY 1
""",
    "with": """
WITH w AS (SELECT id FROM accounts) SELECT count(*) FROM w
WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT * FROM a) SELECT * FROM b
WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n
WITH RECURSIVE t AS (SELECT id, parent FROM accounts WHERE id = 1 UNION ALL SELECT a.id, a.parent FROM
    accounts a JOIN t ON a.parent = t.id) SEARCH DEPTH FIRST BY id SET o CYCLE id SET c USING p SELECT id FROM t
WITH w AS (VALUES (1)) TABLE w
WITH accounts AS (SELECT 1 AS id) SELECT id FROM accounts
SELECT * FROM (WITH w AS (SELECT 1) SELECT * FROM w) AS s
""",
    "expressions": """
SELECT 1 + 2 * 3 - 4 / 5 % 6, 2 ^ 7, -1, +1, 5 & 3 | 2 # 1, ~1, 1 << 2, 8 >> 1, |/ 4, @ -1
SELECT 1 OPERATOR(pg_catalog.+) 1
SELECT id BETWEEN 1 AND 3, id NOT BETWEEN SYMMETRIC 3 AND 1, id IN (1, 2) FROM accounts ORDER BY accounts.id
SELECT owner LIKE 'o%' ESCAPE '!', owner ILIKE '%1', owner SIMILAR TO 'o%', owner ~ '^o' FROM accounts ORDER BY id
SELECT NULL IS DISTINCT FROM 1, true IS NOT UNKNOWN, 1 IS NULL, ROW(1, 2) = ROW(1, 2), (1, 2) < (2, 1)
SELECT CASE WHEN id > 1 THEN 'a' ELSE 'b' END, CASE mood WHEN 'sad' THEN 1 END FROM accounts ORDER BY id
SELECT coalesce(NULL, 1), nullif(1, 2), greatest(1, 2), least(1, 2)
SELECT CAST('1' AS int), '1'::int::text, int '1', DATE '2020-01-01', interval '1' day,
    TIMESTAMP WITH TIME ZONE '2020-01-01Z'
SELECT tags[1], tags[1:2], ARRAY[1, 2] || 3, data -> 'a', data ->> 'a', data #> '{a}', data @> '{}',
    data ? 'a' FROM accounts ORDER BY id
SELECT data['a'][0], (ROW(1, 2)).f1 FROM accounts ORDER BY id
SELECT opened AT TIME ZONE 'UTC', extract(year FROM opened), opened + interval '1 day' FROM accounts ORDER BY id
SELECT position('a' IN 'bab'), substring('abc' FROM 2 FOR 1), trim(BOTH ' ' FROM ' a '),
    overlay('abc' PLACING 'x' FROM 2)
SELECT 'a' COLLATE "C" < 'b', 'abc' IS NORMALIZED, normalize('a', NFC)
SELECT JSON_OBJECT('a': 1), JSON_ARRAY(1, 2), JSON_VALUE('{"a":1}', '$.a'), JSON_EXISTS('{"a":1}', '$.a'), '1' IS JSON
SELECT * FROM JSON_TABLE('[1,2]', '$[*]' COLUMNS (n int PATH '$'))
SELECT a FROM accounts AS a ORDER BY id
SELECT 'happy'::mood > 'sad', enum_range(NULL::mood)
SELECT 1 AS one, 2 two, 3 AS "Three"
""",
    "xml": """
SELECT xmlelement(NAME a, xmlattributes(1 AS b)), xmlforest(1 AS a), xmlconcat('<a/>', '<b/>')
SELECT xmlagg(x), xmlserialize(DOCUMENT '<a/>' AS text), xmlparse(CONTENT 'a'), xmlpi(NAME a) FROM things AS x
""",
    "PostgreSQL's functions": """
SELECT lower('A'), upper('a'), length('abc'), md5('a'), round(1.5), abs(-1), mod(5, 3), format('%s', 1),
    quote_ident('a')
SELECT pg_catalog.lower('A'), pg_catalog.count(*) FROM accounts
SELECT to_char(opened, 'YYYY'), date_trunc('month', opened), to_date('2020', 'YYYY'), age(opened, opened) FROM
    accounts
SELECT json_agg(a ORDER BY id), jsonb_build_object('n', count(*)), row_to_json(ROW(1)), to_jsonb(1) FROM
    accounts a GROUP BY ()
SELECT * FROM generate_series(1, 3) AS g
SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a']) WITH ORDINALITY
SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) AS r (a, b)
SELECT * FROM jsonb_to_record('{"a": 1}') AS r (a int)
SELECT * FROM things, regexp_split_to_table(name, 'o') ORDER BY 1, 3
SELECT jsonb_path_query('{"a": [1, 2]}', '$.a[*]'), generate_subscripts(ARRAY[1, 2], 1)
SELECT to_tsvector('english', 'fat cats') @@ to_tsquery('english', 'cat'), ts_rank(to_tsvector('a'), to_tsquery('a'))
SELECT current_setting('work_mem'), current_setting('app.user', true), pg_catalog.current_setting('TimeZone')
SELECT current_user, session_user, user, current_role, current_catalog, current_schema, current_database(),
    system_user
SELECT current_schemas(true), version(), pg_client_encoding(), pg_typeof(1), pg_column_size('abc'),
    format_type(23, NULL)
SELECT has_table_privilege('accounts', 'SELECT'), to_regclass('accounts'), obj_description('accounts'::regclass)
SELECT pg_get_viewdef('rich'::regclass), pg_get_indexdef('accounts_pkey'::regclass),
    pg_get_functiondef('twice'::regproc)
SELECT pg_table_is_visible('accounts'::regclass), pg_get_serial_sequence('accounts', 'id'), pg_my_temp_schema()
SELECT int4pl(1, 2), texteq('a', 'b'), pg_catalog.int4out(1) IS NULL
""",
    "time and chance": """
SELECT now(), current_timestamp, current_date, current_time(3), localtime, localtimestamp(0), transaction_timestamp()
SELECT statement_timestamp(), clock_timestamp(), timeofday()
SELECT random(), random(1, 6), random_normal(), gen_random_uuid(), uuidv4(), uuidv7(), array_shuffle(ARRAY[1, 2])
SELECT array_sample(ARRAY[1, 2], 1), pg_catalog.random()
SELECT pg_sleep(0), pg_sleep_for('0'), pg_sleep_until('2020-01-01')
SELECT id FROM accounts ORDER BY random() LIMIT 1
""",
    "catalogs": """
SELECT relname FROM pg_class WHERE relname = 'accounts'
SELECT attname FROM pg_catalog.pg_attribute JOIN
    pg_type t ON t.oid = atttypid WHERE attrelid = 'accounts'::regclass ORDER BY attnum
SELECT n.nspname, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE proname = 'twice'
SELECT indexdef FROM pg_indexes WHERE tablename = 'accounts'
SELECT tablename FROM pg_tables WHERE schemaname = 'public' UNION SELECT viewname FROM
    pg_views WHERE schemaname = 'public' ORDER BY 1
SELECT rolname FROM pg_roles ORDER BY 1
SELECT datname FROM pg_database ORDER BY oid LIMIT 1
SELECT * FROM pg_stats WHERE tablename = 'things' ORDER BY attname
SELECT count(*) FROM pg_statistic, pg_enum, pg_index, pg_constraint, pg_depend, pg_extension LIMIT 0
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1
SELECT column_name FROM information_schema.columns WHERE table_name = 'accounts' ORDER BY ordinal_position
SELECT sequence_name FROM information_schema.sequences ORDER BY 1
""",
    "views and functions of the database": """
SELECT * FROM rich ORDER BY id
SELECT * FROM richest
SELECT * FROM totals ORDER BY owner
SELECT twice(2), public.twice(id) FROM things ORDER BY 2
SELECT * FROM other.owners() ORDER BY 1
""",
    "show": """
SHOW work_mem
show TimeZone
SHOW TIME ZONE
SHOW search_path
SHOW TRANSACTION ISOLATION LEVEL
SHOW SESSION AUTHORIZATION
SHOW "DateStyle"
SHOW server_version
""",
    "explain": """
EXPLAIN SELECT * FROM accounts
EXPLAIN VERBOSE SELECT 1
EXPLAIN ANALYZE SELECT count(*) FROM accounts
EXPLAIN ANALYZE VERBOSE TABLE things
EXPLAIN (COSTS off) SELECT * FROM accounts WHERE id = 1
EXPLAIN (ANALYZE, BUFFERS, FORMAT json) WITH w AS (SELECT 1) SELECT * FROM w
EXPLAIN (ANALYZE off) VALUES (1)
""",
    "copy": """
COPY accounts TO STDOUT
COPY accounts (id, owner) TO STDOUT WITH (FORMAT csv, HEADER)
COPY public.things TO STDOUT BINARY
copy things to stdout csv
COPY (SELECT id, balance FROM accounts ORDER BY id) TO STDOUT
COPY (TABLE things) TO STDOUT WITH DELIMITER '|' NULL ''
COPY (WITH w AS (SELECT 1) SELECT * FROM w) TO STDOUT (FORMAT csv, FORCE_QUOTE *)
COPY (VALUES (1)) TO STDOUT
""",
    "several": """
SELECT 1; SELECT 2
;; SELECT 1;;
SELECT * FROM accounts; SHOW work_mem; EXPLAIN SELECT 1; VALUES (1)
""",
    "hints": """
/* dbproxy: primary */ SELECT 1
SELECT id /* dbproxy: replica */ FROM things
""",
}
MOMENTARY = frozenset({"time and chance", "explain"})


def lines(groups: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each statement with its group."""
    for group, block in groups.items():
        for text in _BREAK.split(block.strip("\n")):
            yield group, text
