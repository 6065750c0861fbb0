"""What a database defines is looked up by name, and looked through where it is SQL."""

from collections.abc import Sequence

import pytest

from dbproxy.cluster.catalog import LIMIT, Catalog, read_catalog
from dbproxy.sql.parser import classify

VOLATILE = 'function "volatile" is volatile'
ROWS = [
    ("steady", "steady", None),
    ("volatile", "volatile", None),
    ("steady", "mixed", None),
    ("volatile", "mixed", None),
    ("volatile", "lower", None),
    ("function", "reads", "SELECT steady(a) FROM t; SELECT 1"),
    ("function", "atomic", "BEGIN ATOMIC\n SELECT a FROM t;\nEND"),
    ("function", "returns", "RETURN (a + steady(b))"),
    ("function", "writes", "INSERT INTO t VALUES (1); SELECT 1"),
    ("function", "deep", "SELECT through()"),
    ("function", "through", "SELECT * FROM bad_view"),
    ("function", "nothing", ""),
    ("function", "itself", "SELECT itself() + steady(1)"),
    ("function", "long", "SELECT 1" + " " * LIMIT),
    ("function", "newer", "SELECT 1 IN A NEW WAY"),
    ("aggregate", "good_sum", None),
    ("aggregate", "bad_sum", "SELECT 1, steady(), volatile()"),
    ("operator", "<->", "SELECT steady()"),
    ("operator", "<=>", "SELECT volatile()"),
    ("view", "good_view", " SELECT a FROM t WHERE steady(a) > 1;"),
    ("view", "bad_view", " SELECT volatile();"),
    ("view", "worse_view", " SELECT * FROM good_view JOIN s.bad_view USING (a);"),
    ("view", "sequence_view", " SELECT nextval('s'::regclass) AS n;"),
    ("view", "accounts", " SELECT * FROM private.accounts;"),
    ("view", "gone", None),
    ("table", "policed", "SELECT ((owner = CURRENT_USER) AND steady(1))"),
    ("table", "badly policed", "SELECT true"),
    ("table", "badly policed", "SELECT volatile()"),
    ("table", "parent", "TABLE abroad"),
    ("foreign", "abroad", None),
    ("unlogged", "scratch", None),
    ("sequence", "counter", None),
]


def catalog(rows: Sequence[tuple[str, str, str | None]]) -> Catalog:
    return read_catalog(
        [(kind, name.encode().hex(), body and body.encode().hex()) for kind, name, body in rows]
    )


@pytest.mark.parametrize("order", [ROWS, ROWS[::-1]], ids=["in order", "backwards"])
@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("SELECT 1", ""),
        ("SELECT upper(a), a + 1 FROM t", ""),
        ("SELECT steady(1), s.steady(2)", ""),
        ("SELECT volatile()", VOLATILE),
        ("SELECT mixed()", 'function "mixed" is volatile'),
        ("SELECT lower(a) FROM t", 'function "lower" is volatile'),
        ("SELECT pg_catalog.lower(a) FROM t", ""),
        ("SELECT unknown()", 'function "unknown" is not known'),
        ("SELECT reads(), atomic(), returns(), nothing(), itself()", ""),
        ("SELECT writes()", 'function "writes" is no read: it writes, locks or asks its server'),
        (
            "SELECT deep()",
            'function "deep" is no read: function "through" is no read: view "bad_view" is no read: ' + VOLATILE,
        ),
        ("SELECT long()", 'function "long" is too long to be looked at'),
        ("SELECT newer()", 'function "newer" is no read: it writes, locks or asks its server'),
        ("SELECT good_sum(a), a <-> b FROM t", ""),
        ("SELECT bad_sum(a) FROM t", f'aggregate "bad_sum" is no read: {VOLATILE}'),
        ("SELECT a <=> b FROM t", f'operator "<=>" is no read: {VOLATILE}'),
        ("SELECT * FROM good_view, public.accounts, policed, plain", ""),
        ("TABLE bad_view", f'view "bad_view" is no read: {VOLATILE}'),
        ("TABLE worse_view", f'view "worse_view" is no read: view "bad_view" is no read: {VOLATILE}'),
        ("TABLE gone", 'view "gone" cannot be looked at'),
        ("TABLE sequence_view", 'view "sequence_view" is no read: it writes, locks or asks its server'),
        ('TABLE "badly policed"', f'table "badly policed" is no read: {VOLATILE}'),
        ("TABLE abroad", 'table "abroad" is on another server'),
        ("TABLE parent", 'table "parent" is no read: table "abroad" is on another server'),
        ("COPY scratch TO STDOUT", 'table "scratch" is unlogged: a replica does not have it'),
        ("SELECT last_value FROM counter", 'sequence "counter" is ahead on a replica'),
        ("WITH scratch AS (SELECT 1) TABLE scratch", ""),
        ("SELECT 1; SELECT 2 FROM scratch", 'table "scratch" is unlogged: a replica does not have it'),
    ],
)  # fmt: skip
def test_a_read_is_allowed_or_the_reason_said(
    text: str, objection: str, order: Sequence[tuple[str, str, str | None]]
) -> None:
    known = catalog(order)
    for _ in range(2):
        assert known.allows(classify(text.encode())) == objection


@pytest.mark.parametrize(
    "asked", [["ping"], ["pong"], ["pang"], ["ping", "pong", "pang"], ["pang", "pong", "ping"]]
)
@pytest.mark.parametrize("end", ["steady", "volatile"])
def test_names_that_lead_to_each_other_are_as_safe_as_the_worst(asked: list[str], end: str) -> None:
    rows = [("function", "ping", "SELECT pong()"), ("function", "pong", "SELECT pang(), ping()")]
    known = catalog([*ROWS, *rows, ("function", "pang", f"SELECT ping(), {end}()")])
    for name in asked * 2:
        assert ("volatile" in known.allows(classify(f"SELECT {name}()".encode()))) == (end == "volatile")


def test_a_view_may_be_called_like_the_table_that_it_shows() -> None:
    rows = [
        ("view", "users", "SELECT * FROM inner_users"),
        ("view", "inner_users", "SELECT * FROM private.users"),
    ]
    for text in ("TABLE users", "TABLE inner_users"):
        assert catalog(rows).allows(classify(text.encode())) == ""


def test_an_empty_catalog_knows_no_function() -> None:
    assert Catalog().allows(classify(b"SELECT a + lower(b) FROM t")) == ""
    assert Catalog().allows(classify(b"SELECT f()")) == 'function "f" is not known'
