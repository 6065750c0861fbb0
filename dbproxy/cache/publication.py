"""The publication that tells the cache of everybody's writes, and which tables can be in it.

A table without a replica identity may not: PostgreSQL would refuse its UPDATE and DELETE (55000) from then on. It has
one by its primary key, by REPLICA IDENTITY USING INDEX, or by REPLICA IDENTITY FULL. A partitioned table that has one
is published as such, so that partitions to come are, too; else those of its partitions that have one. Changes are told
by the partition in which they are. PostgreSQL: "Publication", "Replica Identity".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbproxy.errors import ProtocolViolation, ServerUnavailable

NAME = "dbproxy_cache"
INSTALL = "Run: dbproxy cache install"

# Of pg_class c in pg_namespace n: whose writes are to be told. Of the schema `dbproxy` nobody's need be: it is the
# batches' ledger (jobs.batch.ledger).
TOLD = """\
c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
    AND n.nspname NOT IN ('information_schema', 'dbproxy') AND n.nspname NOT LIKE 'pg\\_%'"""

# What is published now. A row: whether all kinds of changes are, by the partition; the tables without a row filter.
PUBLISHED = f"""\
SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND NOT p.pubviaroot,
    pg_catalog.array_to_string(ARRAY(
        SELECT t.relid FROM pg_catalog.pg_get_publication_tables(p.pubname::text) t
        WHERE pg_catalog.to_jsonb(t) ->> 'qual' IS NULL), ' ')
FROM pg_catalog.pg_publication p WHERE p.pubname = '{NAME}'"""  # noqa: S608 - a constant

# All tables that could be: name as SQL has it, its root's, whether it is partitioned, whether it has an identity.
CANDIDATES = f"""\
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I.%I', m.nspname, r.relname),
    c.relkind = 'p', c.relreplident = 'f' OR EXISTS (
        SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class r ON r.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
    JOIN pg_catalog.pg_namespace m ON m.oid = r.relnamespace
WHERE {TOLD}
ORDER BY n.nspname, c.relname"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of CANDIDATES."""

    name: str
    root: str
    partitioned: bool
    identified: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Names as SQL has them."""

    published: tuple[str, ...]
    left_out: tuple[str, ...]  # they have no replica identity


def choose(candidates: Iterable[Candidate]) -> Choice:
    """Which tables the publication is to have."""
    tables = list(candidates)
    lacking = {one.root for one in tables if not one.identified and not one.partitioned}
    whole = {one.name for one in tables if one.partitioned and one.name == one.root and one.identified}
    whole -= lacking
    published, left_out = [], []
    for one in tables:
        if one.partitioned:
            published += [one.name] if one.name in whole else []
        elif not one.identified:
            left_out.append(one.name)
        elif one.root not in whole:
            published.append(one.name)
    return Choice(tuple(published), tuple(left_out))


def spell_publication(tables: Sequence[str], *, exists: bool) -> list[str]:
    """The statements that give it exactly these, in one transaction."""
    what = ", ".join(
        f"ONLY {name}" for name in tables
    )  # what inherits from one has an identity of its own, or none
    if exists and tables:
        every = "publish = 'insert, update, delete, truncate', publish_via_partition_root = false"
        return [
            f"ALTER PUBLICATION {NAME} SET TABLE {what}",
            f"ALTER PUBLICATION {NAME} SET ({every})",
        ]
    create = f"CREATE PUBLICATION {NAME}" + (f" FOR TABLE {what}" if tables else "")
    return [f"DROP PUBLICATION {NAME}", create] if exists else [create]


def read_published(rows: Sequence[Sequence[bytes]]) -> frozenset[int]:
    """What PUBLISHED was answered: the tables whose every change is told. ServerUnavailable if they cannot be."""
    if not rows:
        raise ServerUnavailable(f'the database has no publication "{NAME}"', hint=INSTALL)
    try:
        whole, tables = rows[0]
        published = frozenset(map(int, tables.split()))
    except ValueError:
        raise ProtocolViolation("the server's answer to what is published makes no sense") from None
    if whole != b"t":
        raise ServerUnavailable(
            f'the publication "{NAME}" does not tell of all kinds of changes', hint=INSTALL
        )
    return published
